"""`train.py --objective distill` as a user runs it: trains, resumes, refuses, saves an encoder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel, HubertModel, WavLMModel

from hf_rspin.audio import num_frames, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.resources import sample_folder
from hf_rspin.units import FrameLabels

ROOT = Path(__file__).parents[2]
WEIGHT = "encoder.layers.0.feed_forward.output_dense.weight"


def options(encoder, corpus, output, **changes):
    given = {
        "teacher": [encoder], "target_layers": [1, 3], "student": "copy:2", "corpora": [corpus],
        "output_dir": output, "max_steps": 8, "batch_seconds": 5, "crop_seconds": 1.5,
        "logging_steps": 1, "save_steps": 2, "use_cpu": "true", "report_to": "none",
        "learning_rate": 1e-3, "teacher_bf16": "false", "disable_tqdm": "true", **changes,
    }  # fmt: skip
    found = ["--objective", "distill"]
    for name, value in given.items():
        if value == []:  # left out
            continue
        found += [f"--{name}", *(value if isinstance(value, list) else [value])]
    return [str(part) for part in found]


def command(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = ROOT / "training_scripts" / "train.py"
    return {"args": [sys.executable, str(script), *arguments], "env": environment, "text": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, hubert, speech):
    """The output of one whole run, a process of its own."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(**command(*options(hubert, speech, folder)), capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_what_a_run_leaves_is_a_plain_encoder(trained, hubert):
    model, report = AutoModel.from_pretrained(trained, output_loading_info=True)
    assert type(model) is HubertModel and len(model.encoder.layers) == 2
    assert not report["missing_keys"] and not report["unexpected_keys"]
    names = load_file(trained / "model.safetensors").keys()
    assert not any("head" in name for name in names)
    content = json.loads((trained / "config.json").read_text())
    assert content["architectures"] == ["HubertModel"] and "target_dims" not in content
    assert content["apply_spec_augment"] is False and "auto_map" not in content
    before = AutoModel.from_pretrained(hubert).state_dict()
    assert not torch.equal(model.state_dict()[WEIGHT], before[WEIGHT])
    assert (model.state_dict()[WEIGHT] - before[WEIGHT]).abs().max() < 0.05
    assert model(torch.randn(1, 4000)).last_hidden_state.isfinite().all()
    card = ModelCard.load(trained / "README.md")
    assert "istillation" in card.text and "the first 2 layers of" in card.text
    history = json.loads((trained / "history.json").read_text())
    assert {"loss", "l1", "cosine"} <= set(history[0]) and len(history) >= 8
    assert history[0]["loss"] == pytest.approx(history[0]["l1"] + history[0]["cosine"], rel=1e-3)
    assert json.loads((trained / "preprocessor_config.json").read_text())["do_normalize"] is False


def test_the_same_command_does_not_train_again(copied, main, hubert, speech, caplog):
    checkpoint = copied / "checkpoint-8" / "optimizer.pt"
    times = [checkpoint.stat().st_mtime_ns]
    times += [f.stat().st_mtime_ns for f in (copied / "teachers").rglob("*.npy")]
    weights = load_file(copied / "model.safetensors")
    main("train", *options(hubert, speech, copied))
    assert "is the end of the run: nothing is left to train" in caplog.text
    again = [checkpoint.stat().st_mtime_ns]
    again += [f.stat().st_mtime_ns for f in (copied / "teachers").rglob("*.npy")]
    assert again == times
    after = load_file(copied / "model.safetensors")
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 2e-3}, "learning_rate was 0.001 and is 0.002"),
        ({"distillation_head": "mlp"}, "distillation_head was distilhubert and is mlp"),
        ({"cosine_weight": 0.5}, "cosine_weight was 1.0 and is 0.5"),
        ({"target_layers": [2, 3]}, r"holds shard_00000.json made from layers \[1, 3\] \(now"),
        ({"crop_seconds": 1.25}, "crop_seconds was 1.5 and is 1.25"),
        ({"student": "copy:1"}, "was trained otherwise"),
    ],
)
def test_other_settings_are_refused(copied, main, hubert, speech, changes, message):
    with pytest.raises(SystemExit, match=message) as caught:
        main("train", *options(hubert, speech, copied, **changes))
    assert "Traceback" not in str(caught.value)


def test_a_killed_run_goes_on_exactly(trained, tmp_path, main, hubert, speech):
    arguments = options(hubert, speech, tmp_path / "run")
    process = subprocess.Popen(
        **command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / "run").glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    main("train", *arguments)
    found, wanted = (load_file(folder / "model.safetensors") for folder in
                     (tmp_path / "run", trained))  # fmt: skip
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_units_at_masked_frames_alone(tmp_path, main, hubert, speech):
    """DiceHuBERT: no features are regressed, and noise is in the input."""
    noise = tmp_path / "noise"
    noise.mkdir()
    soundfile.write(noise / "n.wav", 0.1 * np.random.default_rng(0).normal(size=32000), 16000)
    generator = np.random.default_rng(1)
    rows = {row["id"]: generator.integers(0, 6, num_frames(len(read_audio(row["audio"]))))
            for row in load_corpus(speech)}  # fmt: skip
    FrameLabels.from_sequences(rows, 6).save(tmp_path / "units")
    main("train", *options(
        hubert, speech, tmp_path / "run", student="copy:1", units=tmp_path / "units",
        distillation_weight=0, target_layers=[], mask_start=0.08, unmasked_weight=0.1,
        noise=noise, speaker_probability=0.2, max_steps=2, saved_dtype="bfloat16",
    ))  # fmt: skip
    card = ModelCard.load(tmp_path / "run" / "README.md").text
    assert "with Unit distillation (as DiceHuBERT" in card and "DistilHuBERT" not in card
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert {"loss", "unit_loss", "unit_accuracy"} <= set(history[0]) and "l1" not in history[0]
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert len(model.encoder.layers) == 1 and model.dtype == torch.float32
    stored = load_file(tmp_path / "run" / "model.safetensors")
    assert stored[WEIGHT].dtype == torch.bfloat16
    before = AutoModel.from_pretrained(hubert).masked_spec_embed.bfloat16()
    assert not torch.equal(stored["masked_spec_embed"], before)  # it stood for hidden frames


def test_two_teachers_and_a_student_of_its_own_shape(tmp_path, main, wavlm, whisper):
    """USAD: two teachers of other dimensions; splits of the sample are left out."""
    student = tmp_path / "student.yaml"
    student.write_text(
        "model_type: wavlm\nfilterbank: true\nhidden_size: 24\nnum_hidden_layers: 2\n"
        "num_attention_heads: 2\nintermediate_size: 32\nconv_dim: [8, 8, 8]\n"
        "conv_kernel: [160, 16, 1]\nconv_stride: [16, 20, 1]\nnum_conv_pos_embeddings: 8\n"
        "num_conv_pos_embedding_groups: 2\nlayerdrop: 0.0\n"
    )
    rows = (sample_folder() / "metadata.csv").read_text().splitlines()
    wanted = [row for row in rows if ",train," in row][:3] + [r for r in rows if ",test," in r][:2]
    corpus = tmp_path / "corpus"
    for row in wanted:
        name = row.split(",")[0]
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample_folder() / name, corpus / name)
    (corpus / "metadata.csv").write_text("\n".join([rows[0], *wanted]) + "\n")
    main("train", *options(
        wavlm, corpus, tmp_path / "run", teacher=[wavlm, whisper], target_layers=["1,3", "2"],
        student=student, student_layers=[1, 2, 2], distillation_head="mlp", max_steps=2,
        exclude_splits=["test"],
    ))  # fmt: skip
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert type(model) is WavLMModel and model.config.hidden_size == 24
    shards = [json.loads((tmp_path / "run" / "teachers" / n / "shard_00000.json").read_text())
              for n in "01"]  # fmt: skip
    assert [(one["layers"], one["dim"], len(one["ids"])) for one in shards] == [
        ([1, 3], 20, 3), ([2], 12, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpora": []}, "no corpus was given"),
        ({"teacher": []}, "got 0 teachers; expected one or two"),
        ({"student": ""}, "no student was given; pass --student copy:2, a YAML file or a folder"),
        ({"target_layers": [1, 4]}, r"target_layers of .* are \[1, 4\]; expected .* 0 to 3"),
        ({"target_layers": ["one"]}, r"expected numbers of layers, as 4 8 12"),
        ({"target_layers": []}, "expected the layers of each"),
        ({"student_layers": [1, 1, 1]}, r"student_layers are \[1, 1, 1\] for 2 target layers"),
        ({"distillation_weight": 0}, "nothing would be learned; pass --units"),
        ({"max_steps": -1}, "--max_steps is -1; expected the number of updates"),
        ({"mask_start": 1.5}, "mask_start is 1.5"),
        ({"noise_probability": 2}, "noise_probability is 2; expected 0 to 1"),
        ({"noise_snr_low": 5, "noise_snr_high": 0}, "noise_snr_low is 5 and noise_snr_high 0"),
        ({"babble_probability": 0.3}, "babble_probability is 0.3, which distillation does not mix"),
        ({"distillation_weight": 0, "unit_weight": 0, "units": "u"}, "and unit_weight are 0"),
        ({"crop_seconds": 0.5}, "crop_seconds is 0.5"),
        ({"saved_dtype": "float16"}, "saved_dtype is 'float16'; expected float32 or bfloat16"),
        ({"student_config": "{"}, "--student_config is no JSON"),
        ({"student_config": '{"layerdrop": 0.1}'}, "layerdrop is 0.1; expected 0"),
        ({"student_config": "[1]"}, "--student_config is .*; expected a mapping"),
        ({"units": "nowhere"}, "nowhere holds no frame_labels.json"),
        ({"student": "copy:9"}, "student is copy:9; expected 1 to 3"),
    ],
)
def test_mistakes_are_said_in_one_sentence(tmp_path, main, hubert, speech, trained, changes,
                                           message):  # fmt: skip
    given = options(hubert, speech, tmp_path / "run",
                    **{"teacher_cache": trained / "teachers", **changes})  # fmt: skip
    with pytest.raises(SystemExit, match=message) as caught:
        main("train", *given)
    assert "\n" not in str(caught.value)


def test_ids_that_repeat_are_refused(tmp_path, main, hubert, speech):
    folder = tmp_path / "speech"
    shutil.copytree(speech, folder)
    (folder / "metadata.csv").write_text("file_name,id\n0.flac,a\n1.flac,a\n")
    with pytest.raises(SystemExit, match="1 ids come more than once, such as 'a'"):
        main("train", *options(hubert, folder, tmp_path / "run"))


def test_an_option_given_twice_is_one_more_teacher():
    from hf_rspin.distillation.arguments import DistillationArguments
    from hf_rspin.training.cli import parse_arguments

    for line in (
        "--teacher a --teacher b --target_layers 4,8 --target_layers 2,3 --student copy:2",
        "--teacher a b --target_layers 4,8 2,3 --student copy:2",
        "--teacher=a --student copy:2 --teacher=b --target_layers=4,8 --target_layers=2,3",
    ):
        (found,) = parse_arguments(DistillationArguments, arguments=line.split())
        assert found.teacher == ["a", "b"] and found.layers_of_teachers() == [[4, 8], [2, 3]]
        assert found.student == "copy:2"
