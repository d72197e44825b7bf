"""`--hours` of a fine-tune: a random part of the utterances to train on; dev stays as it is."""

import json

import pytest

from hf_rspin.ctc.arguments import CtcCorpusArguments

from .conftest import call_main


def test_a_part_of_the_training_utterances_is_learned(encoder, tones, tmp_path):
    given = ["--encoder", encoder, "--corpus", tones, "--output_dir", tmp_path / "run", "--target",
             "phones", "--corpus_split", "train", "--dev_split", "dev", "--max_steps", 1,
             "--batch_seconds", 8, "--use_cpu", "true", "--disable_tqdm", "true"]  # fmt: skip
    call_main(*given, "--hours", 0.002)
    record = json.loads((tmp_path / "run" / "selection.json").read_text())
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert record["utterances"] == results["train"]["utterances"] < record["of_utterances"] == 20
    assert results["train"]["hours"] == pytest.approx(record["hours"])
    assert abs(record["hours"] - 0.002) < 1.0 / 3600 and results["dev"]["utterances"] == 4
    with pytest.raises(SystemExit, match="trained otherwise .selection was .*random. and is None"):
        call_main(*given)


def test_other_selections_are_refused():
    for select in ("unit_coverage", "loss"):
        with pytest.raises(ValueError, match=f"select is {select}.* expected random"):
            CtcCorpusArguments("x", hours=1, select=select)
