"""`--hours` and `--select` of the training commands: what is kept, recorded and refused."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_rspin.adapters import AdapterArguments
from hf_rspin.audio import num_frames, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.training.corpus_arguments import TrainingCorpusArguments
from hf_rspin.training.model_arguments import ModelArguments
from hf_rspin.training.provenance import load_provenance
from hf_rspin.training.run import build_spin
from hf_rspin.training.selection import SelectionRecord, select_rows
from hf_rspin.training.selection_arguments import HoursArguments, SelectionArguments
from hf_rspin.training.training_arguments import TwoViewTrainingArguments
from hf_rspin.training.view_arguments import ViewArguments
from hf_rspin.units import FrameLabels

ROOT = Path(__file__).parents[2]
HOURS = 0.002  # 7.2 of about 24 s
COMMON = {
    "min_seconds": 0.6, "batch_seconds": 4, "max_steps": 1, "save_steps": 1, "logging_steps": 1,
    "use_cpu": "true", "report_to": "none", "disable_tqdm": "true",
}  # fmt: skip


def options(**given):
    return [str(part) for n, v in (COMMON | given).items() if v is not None
            for part in (f"--{n}", v)]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(audio):
    return load_corpus(audio)


@pytest.fixture(scope="module")
def labels(corpus, tmp_path_factory):
    """A folder of labels that change every 5 frames, of all utterances but one."""
    rng, found = np.random.default_rng(0), {}
    for key, cell in zip(corpus["id"][1:], corpus["audio"][1:], strict=True):
        frames = num_frames(len(read_audio(cell)))
        found[key] = np.repeat(rng.integers(0, 6, frames // 5 + 1), 5)[:frames]
    folder = tmp_path_factory.mktemp("labels") / "units"
    FrameLabels.from_sequences(found, 6).save(folder)
    return folder


@pytest.fixture
def rspin(audio, tiny_encoder, labels, tmp_path):
    """Options of a run of R-Spin with labels; its output folder is `run` unless it is changed."""
    return {"corpus": audio, "encoder": tiny_encoder, "pseudo_labels": labels,
            "without_noise": "true", "codebook_size": 8,
            "output_dir": tmp_path / "run"}  # fmt: skip


def chosen(folder):
    return json.loads((folder / "selection.json").read_text())


def test_a_run_keeps_its_hours_and_records_them(main, rspin, corpus, tmp_path):
    given = options(**rspin, hours=HOURS, select="unit_coverage")
    script = ROOT / "training_scripts" / "train_rspin.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), *given], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record, run = chosen(tmp_path / "run"), tmp_path / "run"
    seconds = dict(zip(corpus["id"], corpus["duration"], strict=True))
    assert record["hours"] == pytest.approx(sum(seconds[key] for key in record["ids"]) / 3600)
    assert abs(record["hours"] - HOURS) < 1.5 / 3600 and record["hours_asked"] == HOURS
    assert len(record["ids"]) == record["utterances"] == len(set(record["ids"])) < 24
    assert min(seconds[key] for key in record["ids"]) >= 0.6
    assert seconds[corpus["id"][0]] >= 0.6 and corpus["id"][0] not in record["ids"]  # no labels
    said = (
        f"{len(record['ids'])} of {record['of_utterances']} utterances, 0.00 of "
        f"{record['of_hours']:.2f} h (unit_coverage)"
    )
    assert f"kept {said}\n" in done.stderr and "utterances cannot be chosen:" in done.stderr
    assert said in (run / "README.md").read_text()
    assert load_provenance(run / "checkpoint-1")["selection"] == said
    before = (run / "selection.json").read_bytes()
    other = options(**rspin, hours=2 * HOURS, select="unit_coverage")
    with pytest.raises(SystemExit, match=r"otherwise .selection was \d+ of .* and is \d+ of "):
        main("train_rspin", *other)
    assert (run / "selection.json").read_bytes() == before


def test_a_run_on_everything_removes_the_record_of_an_earlier_one(tiny, tmp_path):
    (tmp_path / "selection.json").write_text("{}")
    SelectionRecord(None).on_train_begin(tiny.tiny_arguments(tmp_path), None, None)
    assert not list(tmp_path.iterdir())


def test_losses_are_computed_once_and_change_nothing_else(main, rspin, tmp_path, caplog):
    caplog.set_level(logging.INFO, "hf_rspin")
    given = rspin | {"hours": HOURS, "select": "loss", "selection_cache": tmp_path / "cache"}
    main("train_rspin", *options(**given))
    (file,) = (tmp_path / "cache").glob("selection_losses_*.json")
    losses, first = json.loads(file.read_text())["losses"], chosen(tmp_path / "run")["ids"]
    assert [losses[key] for key in first] == sorted(losses.values(), reverse=True)[: len(first)]
    assert "The losses of all utterances are in" not in caplog.text
    main("train_rspin", *options(**given | {"output_dir": tmp_path / "again"}))
    assert "The losses of all utterances are in" in caplog.text
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("run", "again")]
    assert weights[0] == weights[1]  # the heads begin alike, whether losses were computed or read


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"variance_weight": "nan"}, "variance_weight is nan"),
     ({"noise": "nosuch", "without_noise": None}, "nosuch"),
     ({"codebook_size": 1}, "codebook_size is 1"),
     ({"adapter": "lora", "num_trainable_layers": 99}, "num_trainable_layers is 99")],
)  # fmt: skip
def test_what_is_given_wrong_is_said_before_losses_are_computed(wrong, said, main, rspin, tmp_path):
    given = rspin | {"hours": HOURS, "select": "loss", "selection_cache": tmp_path / "cache"}
    with pytest.raises(SystemExit, match=said):
        main("train_rspin", *options(**given | wrong))
    assert not list(tmp_path.rglob("selection_losses_*.json"))


def test_babble_is_of_the_chosen_utterances(rspin, corpus, tmp_path):
    trainer = build_spin(
        TrainingCorpusArguments(str(rspin["corpus"]), hours=HOURS, min_seconds=0.6),
        ViewArguments(babble_probability=1.0), ModelArguments(str(rspin["encoder"])),
        AdapterArguments(), TwoViewTrainingArguments(str(tmp_path), use_cpu=True, report_to=[]),
    )  # fmt: skip
    noise = trainer.train_dataset.views.clean.transforms[-1]
    assert len(noise.bank.speech_sources) == len(trainer.train_dataset) < len(corpus)


@pytest.mark.parametrize("objective", ["spin", "score"])
def test_objectives_without_labels_look_at_others(main, rspin, labels, objective, tmp_path):
    given = {n: v for n, v in rspin.items() if n in ("corpus", "encoder", "output_dir")}
    given |= {"hours": HOURS, "select": "unit_coverage", "objective": objective}
    with pytest.raises(SystemExit, match="unit_coverage, which looks at frame labels, and this"):
        main("train", *options(**given))
    assert not (tmp_path / "run").exists()
    main("train", *options(**given, selection_labels=labels, max_seconds=1.6))
    assert abs(chosen(tmp_path / "run")["hours"] - HOURS) < 1.5 / 3600


def test_masked_prediction_and_distillation_too(main, audio, tiny_encoder, labels, tmp_path):
    common = {"corpora": audio, "hours": HOURS, "crop_seconds": 1, "min_seconds": 1}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 8,
             "num_conv_pos_embedding_groups": 2}  # fmt: skip
    own = {"objective": "masked_prediction", "encoder": json.dumps(sizes), "num_clusters": 4}
    main("train", *options(**common, **own, output_dir=tmp_path / "masked"))
    own = {"objective": "distill", "teacher": tiny_encoder, "target_layers": 1,
           "student": "copy:1", "teacher_bf16": "false"}  # fmt: skip
    coverage = {"select": "unit_coverage", "selection_labels": labels}
    main("train", *options(**common, **own, **coverage, output_dir=tmp_path / "distilled"))
    for run in ("masked", "distilled"):
        record = chosen(tmp_path / run)
        assert abs(record["hours"] - HOURS) < 1.5 / 3600
        assert record["utterances"] < record["of_utterances"] < 24
    assert "; kept " in (tmp_path / "distilled" / "README.md").read_text()


def select(corpus, tiny, tmp_path, seed=3, data_seed=None, labels=None, **given):
    training = tiny.tiny_arguments(tmp_path / "x", seed=seed, data_seed=data_seed)
    return select_rows(SelectionArguments(**given), corpus, training, labels=labels)


def test_a_selection_depends_on_the_seed_and_its_hours_are_nested(corpus, tiny, tmp_path, labels):
    few, fewest = (select(corpus, tiny, tmp_path, hours=h)[1].ids for h in (0.004, 0.001))
    assert few[: len(fewest)] == fewest
    rows, again = select(corpus, tiny, tmp_path, hours=0.004)
    assert again.ids == few and rows == sorted(rows)
    assert {corpus[row]["id"] for row in rows} == set(few)
    assert select(corpus, tiny, tmp_path, seed=4, hours=0.004)[1].ids != few
    assert select(corpus, tiny, tmp_path, seed=4, data_seed=3, hours=0.004)[1].ids == few
    assert select(corpus, tiny, tmp_path) == (list(range(24)), None)
    everything = select(corpus, tiny, tmp_path, hours=0.01)[1]  # 0.0067 h, shown as 0.01
    assert len(everything.ids) == 24 == everything.num_candidates


def test_mistakes_are_said_before_anything_is_read(corpus, tiny, tmp_path, labels):
    for hours, said in ((0, "hours is 0;"), (-1.5, "hours is -1.5;"), (float("nan"), "hours is n")):
        with pytest.raises(ValueError, match=f"{said}.* expected more than 0"):
            TrainingCorpusArguments("nowhere", hours=hours)
    with pytest.raises(ValueError, match="'best'; expected one of random, unit_coverage, loss"):
        HoursArguments(hours=1, select="best")
    with pytest.raises(ValueError, match="select is loss, but no hours were given.* pass --hours"):
        SelectionArguments(select="loss")
    with pytest.raises(ValueError, match=r"hours is 2, but .* last 0.01 h together; expected at"):
        select(corpus, tiny, tmp_path, hours=2)
    known = FrameLabels.load(labels)
    given = {"hours": HOURS, "select": "loss", "labels": known}
    with pytest.raises(ValueError, match="starts from no encoder.* pass --selection_model"):
        select(corpus, tiny, tmp_path, **given)
    others = FrameLabels.from_sequences({"other": np.zeros(9, int)}, 6)
    with pytest.raises(ValueError, match=r"none of the 24 utterances .*24 have no frame labels"):
        select(corpus, tiny, tmp_path, **given | {"labels": others})
