"""`finetune_ctc.py` as a user runs it: it learns, survives a kill, and others load the result."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields

import pytest
import soundfile
import torch
from peft import PeftModel
from transformers import AutoModelForCTC, WavLMConfig

from hf_rspin.adapters import AdapterArguments
from hf_rspin.ctc import (
    CtcCorpusArguments,
    CtcModelArguments,
    CtcTrainingArguments,
    load_ctc_model,
)
from hf_rspin.training.checkpoints import last_complete_checkpoint
from hf_rspin.training.cli import parse_arguments

from .conftest import SCRIPT, as_text, call_main, run_code, script_environment, write_corpus

CONFIGS = SCRIPT.parents[1] / "hf_rspin" / "configs"
STRANGER = """
import sys

class Blocker:
    def find_spec(self, name, *arguments):
        if name.split(".")[0] == "hf_rspin":
            raise ImportError("hf_rspin is not installed here")

sys.meta_path.insert(0, Blocker())
import json
import soundfile
from transformers import pipeline
heard = {}
for folder in sys.argv[2:]:
    recognize = pipeline("automatic-speech-recognition", model=folder)
    waveform, rate = soundfile.read(sys.argv[1], dtype="float32")
    sound = {"raw": waveform, "sampling_rate": rate}
    heard[folder] = recognize(dict(sound), return_timestamps="char")
    heard[folder]["words"] = recognize(sound)["text"].split()
print(json.dumps(heard, default=float))
"""


def common(encoder, corpus, output, steps=200, target="phones"):
    return ["--encoder", encoder, "--corpus", corpus, "--output_dir", output, "--target", target,
            "--corpus_split", "train", "--max_steps", steps, "--learning_rate", 5e-3,
            "--batch_seconds", 8, "--use_cpu", "true", "--disable_tqdm", "true"]  # fmt: skip


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def losses(folder):
    logs = json.loads((folder / "history.json").read_text())
    names = ("step", "loss", "grad_norm", "learning_rate", "processed_hours")
    return [{name: entry[name] for name in names} for entry in logs]


def test_other_transcripts_of_the_same_audio_are_another_run(tmp_path, encoder, tones):
    swapped = str.maketrans("aÉ", "Éa")  # the same vocabulary
    write_corpus(tmp_path / "other", text=lambda row: as_text(row).translate(swapped))
    call_main(*common(encoder, tones, tmp_path / "run", 1, "text"))
    with pytest.raises(SystemExit, match=r"trained otherwise \(labels was \w+ and is \w+\): go"):
        call_main(*common(encoder, tmp_path / "other", tmp_path / "run", 1, "text"))


def test_nothing_is_said_of_a_run_that_was_overwritten(tmp_path, encoder, tones):
    call_main(*common(encoder, tones, tmp_path, 1), "--test_split", "dev")
    said = ["README.md", "results.json", "dev_predictions.csv", "test_predictions.csv"]
    assert all((tmp_path / name).is_file() for name in said)
    call_main(*common(encoder, tones, tmp_path, 1))  # no test this time
    assert not (tmp_path / "test_predictions.csv").exists() and "test" not in results(tmp_path)
    call_main(*common(encoder, tones, tmp_path, 1), "--overwrite_output_dir", "true",
              "--adapter", "read")  # fmt: skip
    assert not (tmp_path / "README.md").exists()  # it said what the folder no longer holds
    assert (tmp_path / "adapter" / "README.md").is_file()
    assert results(tmp_path)["adapter"] == "read"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, encoder, tones):
    """The folders of what was trained on phones, on text, and with adapters."""
    folder = tmp_path_factory.mktemp("trained")
    dev = ["--dev_split", "dev", "--save_strategy", "no"]
    call_main(*common(encoder, tones, folder / "phones", 24), *dev,
              "--eval_strategy", "steps", "--eval_steps", 6)  # fmt: skip
    call_main(*common(encoder, tones, folder / "text", 40, "text"), *dev)
    call_main(*common(folder / "phones", tones, folder / "lora", 10), *dev, "--adapter", "lora")
    call_main(*common(encoder, tones, folder / "read", 60), *dev, "--adapter", "read")
    return folder


def test_error_rates_fall_to_nearly_nothing_on_unheard_tones(trained):
    phones = results(trained / "phones")
    assert phones["dev"]["per"] < 0.05 and phones["dev"]["utterances"] == 4
    assert [entry["update"] for entry in phones["dev_history"]] == [6, 12, 18, 24]
    assert phones["dev_history"][0]["per"] > phones["dev"]["per"]
    assert phones["train"]["utterances"] == 20 and phones["updates"] == 24
    assert phones["processed_hours"] > 0.04
    text = results(trained / "text")
    assert text["dev"]["wer"] < 0.2 and text["dev"]["cer"] < 0.05


def test_predictions_are_written(trained):
    with open(trained / "text" / "dev_predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == ["u20", "u21", "u22", "u23"]
    assert all(set(row["reference"]) <= set("a\u00e9n ") for row in rows)
    exact = sum(row["reference"] == row["prediction"] for row in rows)
    assert exact >= 3


def test_a_pipeline_hears_it_without_this_package(trained, tones, tmp_path):
    with open(trained / "phones" / "dev_predictions.csv", encoding="utf-8") as file:
        phones = next(row for row in csv.DictReader(file) if row["id"] == "u21")
    with open(trained / "text" / "dev_predictions.csv", encoding="utf-8") as file:
        text = next(row for row in csv.DictReader(file) if row["id"] == "u21")
    folders = [trained / name for name in ("phones", "text", "lora")]
    stranger = run_code(tones / "u21.wav", *folders, code=STRANGER)
    assert stranger.returncode == 0, stranger.stderr[-3000:]
    heard = json.loads(stranger.stdout.split("\n")[-2])
    one, other, _ = (heard[str(folder)] for folder in folders)
    assert one["text"] == phones["prediction"] == phones["reference"]
    assert [chunk["text"] for chunk in one["chunks"]] == phones["prediction"].split()
    starts = [chunk["timestamp"][0] for chunk in one["chunks"]]
    assert starts == sorted(starts) and starts[0] < 0.3
    assert other["words"] == text["prediction"].split() and len(other["words"]) == 2


def test_lora_is_merged_and_kept_beside(trained, tones):
    assert results(trained / "lora")["dev"]["per"] < 0.2
    merged = AutoModelForCTC.from_pretrained(trained / "lora").eval()
    adapted, _ = load_ctc_model(trained / "lora" / "adapter")
    assert isinstance(adapted, PeftModel)
    waveform = torch.from_numpy(soundfile.read(tones / "u00.wav", dtype="float32")[0])[None]
    with torch.no_grad():
        torch.testing.assert_close(
            merged(waveform).logits, adapted(waveform).logits, atol=1e-4, rtol=1e-4
        )


def test_read_leaves_an_adapter_and_no_model_that_would_be_wrong(trained):
    assert results(trained / "read")["dev"]["per"] < 0.3
    assert not (trained / "read" / "config.json").exists()
    assert not (trained / "read" / "model.safetensors").exists()
    model, processor = load_ctc_model(trained / "read" / "adapter")
    assert isinstance(model, PeftModel) and processor.tokenizer.decode([1, 0, 2]) == "AA B"


def test_killed_and_resumed_equals_uninterrupted(tmp_path, encoder, tones):
    noisy = '{"hidden_dropout": 0.1, "apply_spec_augment": true, "mask_time_prob": 0.3}'
    options = ["--encoder_config", noisy, "--save_steps", 10, "--logging_steps", 5,
               "--dev_split", "dev", "--eval_strategy", "steps", "--eval_steps", 20]  # fmt: skip
    call_main(*common(encoder, tones, tmp_path / "whole", 60), *options)
    again = [*common(encoder, tones, tmp_path / "killed", 60), *options]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, again)],
        env=script_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    second = tmp_path / "killed" / "checkpoint-20"
    while not second.is_dir() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    errors = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, errors[-3000:]
    assert not (tmp_path / "killed" / "results.json").exists()
    assert last_complete_checkpoint(tmp_path / "killed") is not None
    call_main(*again)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    states = [AutoModelForCTC.from_pretrained(tmp_path / name).state_dict()
              for name in ("whole", "killed")]  # fmt: skip
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_best_weights_on_dev_are_kept_where_asked_for(tmp_path, encoder, tones):
    options = [*common(encoder, tones, tmp_path, 24), "--dev_split", "dev", "--save_steps", 6,
               "--eval_strategy", "steps", "--eval_steps", 6, "--load_best_model_at_end", "true",
               "--metric_for_best_model", "per"]  # fmt: skip
    call_main(*options)
    found = results(tmp_path)
    best = min(entry["per"] for entry in found["dev_history"])
    assert found["dev"]["per"] == pytest.approx(best)
    call_main(*options)  # nothing is left to train: the same weights, not the last ones
    assert results(tmp_path)["dev"] == found["dev"]


def test_two_processes_measure_together(tmp_path, encoder):
    corpus = write_corpus(tmp_path / "corpus", num_train=8, num_dev=5)
    (corpus / "u11.wav").write_bytes((corpus / "u11.wav").read_bytes()[:44])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(SCRIPT)]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, common(encoder, corpus, tmp_path / "run", 2)),
         "--dev_split", "dev", "--strict", "false"],
        env=script_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert results(tmp_path / "run")["dev"]["utterances"] == 4


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("ctc_*.yaml")), ids=lambda file: file.stem)
def test_the_configs_are_understood(file):
    corpus, model, _, training = parse_arguments(
        CtcCorpusArguments, CtcModelArguments, AdapterArguments, CtcTrainingArguments,
        arguments=[str(file), "--use_cpu", "true"],
    )  # fmt: skip
    known = {field.name for field in fields(WavLMConfig)}
    assert set(model.changes(without=("freeze_feature_encoder", "num_trainable_layers"))) <= known
    assert training.batch_seconds >= corpus.max_seconds and training.learning_rate <= 1e-3
    assert corpus.target in ("text", "phones")
