import numpy as np
import pytest

from hf_rspin.evaluation import Evaluation, EvaluationSet
from hf_rspin.evaluation.probes.abx import AbxProbe

from .spoken_corpus import ToneFeatures, measured, spoken_corpus


@pytest.mark.parametrize(("context", "factor"), [("any", 1), ("within", 1), ("any", 2)])
def test_layers_that_know_phones_or_speakers_are_found(context, factor, tmp_path):
    found = measured(AbxProbe(context, max_cells=1000), spoken_corpus(40), tmp_path, factor)
    for name in ("abx_within_speaker", "abx_across_speakers"):
        assert found[name][0] < 0.02 and found[name][2] == pytest.approx(0.5, abs=0.06)
    assert found["abx_across_speakers"][1] == pytest.approx(0.5, abs=0.1)
    assert found["abx_speaker"][1] < 0.02
    assert found["abx_speaker"][2] == pytest.approx(0.5, abs=0.06)
    assert found["abx_speaker"][0] > 0.25


def test_a_run_writes_numbers_with_intervals(tmp_path):
    test, probe = spoken_corpus(24), AbxProbe(max_cells=200)
    evaluation = Evaluation(tmp_path, test, [], [probe], progress=False)
    evaluation.run(ToneFeatures())
    (cell,) = evaluation.cells()
    assert len(cell.rows) == 9 and {row.layer for row in cell.rows} == {0, 1, 2}
    assert {row.metric for row in cell.rows} == {metric.name for metric in AbxProbe.metrics}
    assert all(row.low <= row.value <= row.high for row in cell.rows)
    assert any(row.low < row.value for row in cell.rows)
    assert 0 < cell.details["cells"]["abx_speaker"] <= 200
    assert cell.key["settings"] == {
        "context": "any", "max_items": 5, "max_cells": 200, "seed": 0,
    }  # fmt: skip


def test_a_single_speaker_has_one_number(tmp_path):
    test, probe = spoken_corpus(12, speakers=("ann",)), AbxProbe()
    found = measured(probe, test, tmp_path)
    assert list(found) == ["abx_within_speaker"] and found["abx_within_speaker"][0] < 0.02
    assert np.isnan([row.low for row in probe.rows()]).all()
    assert probe.remark(test) == (
        "Left out: ABX phone error across speakers, ABX speaker error; the recordings are of a "
        "single speaker."
    )
    assert AbxProbe().remark(spoken_corpus(24)) is None


def test_what_is_missing_is_said():
    test = spoken_corpus(2)
    without = EvaluationSet(test.ids, test.audio, test.speakers)
    assert "needs phone alignments and speakers" in AbxProbe().reason_to_skip(without, None)
    few = EvaluationSet(["u"], [{}], ["s"], alignments=["0.0:AA 0.2:B 0.4:CH 0.6:SIL"])
    assert AbxProbe().reason_to_skip(few, None) == (
        "The ABX test is left out: no three phones can be compared."
    )
    assert "--abx_context any takes all" in AbxProbe("within").reason_to_skip(few, None)
    with pytest.raises(ValueError, match="got context 'all'; expected within or any"):
        AbxProbe("all")
    with pytest.raises(ValueError, match="got max_items 1; expected 2 or more"):
        AbxProbe(max_items=1)
