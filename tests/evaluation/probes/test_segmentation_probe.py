import json

import numpy as np
import pytest
import torch

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise
from hf_rspin.evaluation.conditions import Clean
from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.measures.segmentation import SegmentationScores
from hf_rspin.evaluation.probes.base import CleanFeatures
from hf_rspin.evaluation.probes.segmentation import SegmentationProbe, _intervals

LEVELS = {"SIL": 0.1, "AA": 0.3, "B": 0.5, "CH": 0.7}


def stepped(count=6, speakers=("s", "t"), parts=8):
    """The level of the waveform says the phone."""
    rng = np.random.default_rng(0)
    columns = {"ids": [], "audio": [], "alignments": [], "speakers": []}
    for index in range(count):
        phones = np.array(list(LEVELS))[np.cumsum(rng.integers(1, 4, parts)) % 4]
        ends = np.cumsum(rng.uniform(0.061, 0.15, parts))
        starts = np.round([0, *ends[:-1]], 3)
        samples = np.diff(np.round([*starts * 16000, ends[-1] * 16000]).astype(int))
        levels = np.repeat([LEVELS[phone] for phone in phones], samples).astype("f4")
        columns["ids"].append(f"u{index}")
        columns["audio"].append({"array": levels, "sampling_rate": 16000})
        columns["speakers"].append(speakers[index % len(speakers)])
        entries = zip(starts, phones, strict=True)
        columns["alignments"].append(" ".join(f"{start:.3f}:{phone}" for start, phone in entries))
    return EvaluationSet(**columns)


class Levels:
    """Layer 0 is the phone, layer 1 always the same, layer 2 another one in every frame."""

    name, num_layers, dim = "levels", 3, 4

    def __init__(self, factor=1):
        self.factor = factor

    def __call__(self, waveform):
        centres = 320 * np.arange(num_frames(len(waveform)))[self.factor // 2 :: self.factor] + 200
        phone = np.eye(4)[np.clip(np.rint((waveform[centres] - 0.1) / 0.2), 0, 3).astype(int)]
        parity = np.eye(4)[np.arange(len(centres)) % 2]
        return torch.from_numpy(np.stack([phone, np.ones_like(phone), parity]).astype("f4"))

    def fingerprint(self):
        return f"levels {self.factor}"


def run(probe, test, folder, factor=1, conditions=()):
    evaluation = Evaluation(folder, test, list(conditions), [probe], progress=False)
    evaluation.run(Levels(factor))
    return evaluation.cells()


def values(cell):
    return {(row.metric.removeprefix("boundary_"), row.layer): row.value for row in cell.rows}


def test_known_boundaries_give_known_scores(tmp_path):
    test = stepped()
    (cell,) = run(SegmentationProbe(num_units=4), test, tmp_path)
    found, true = values(cell), 6 * 7
    for name in ("precision", "recall", "f1", "r_value"):
        assert found[name, 0] == 1
    assert found["over_segmentation", 0] == 0
    assert (found["recall", 1], found["over_segmentation", 1], found["f1", 1]) == (0, -1, 0)
    frames = sum(num_frames(len(test.read(i))) for i in range(6))
    assert found["recall", 2] == 1
    assert found["precision", 2] == pytest.approx(true / (frames - 6))
    assert found["r_value", 2] < 0 < found["f1_equal_length", None] < 1
    assert found["r_value_equal_length", None] > found["r_value", 2]
    first = cell.rows[0]
    assert first.low == first.high == 1
    (base,) = (row for row in cell.rows if row.metric == "boundary_f1_equal_length")
    assert 0 < base.low <= base.value <= base.high < 1


@pytest.mark.parametrize("groups", [None, list("aabbbcccddee")])
def test_intervals_are_those_of_rates(groups):
    rng = np.random.default_rng(0)
    predicted, true = rng.integers(10, 60, (2, 12))
    hits = rng.binomial(np.minimum(predicted, true), 0.6)
    counts = np.stack([hits, hits, predicted, true], axis=1)
    rates = hits.sum() / predicted.sum(), hits.sum() / true.sum()
    whole = SegmentationScores.from_rates(*rates)
    scores = _intervals(whole, counts, groups)
    for name, lengths in (("precision", predicted), ("recall", true)):
        found = bootstrap_interval(ErrorCounts(hits, lengths), groups)
        limits = [scores[name].low, scores[name].high]
        np.testing.assert_allclose(limits, [found.low, found.high], atol=0.02)
    for name in ("r_value", "over_segmentation"):
        assert scores[name].low < getattr(whole, name) < scores[name].high


@pytest.mark.parametrize("factor", [1, 2])
def test_a_boundary_is_halfway_between_centres(factor, tmp_path):
    """So that it is at most half a frame from where the phone begins."""
    test = stepped()
    near = SegmentationProbe(num_units=4, tolerance=0.0101 * factor)
    (cell,) = run(near, test, tmp_path / "near", factor)
    assert values(cell)["f1", 0] == 1
    exact = SegmentationProbe(num_units=4, tolerance=0.003 * factor)
    (cell,) = run(exact, test, tmp_path / "exact", factor)
    assert 0 < values(cell)["f1", 0] < 0.6  # starts are spread evenly: 0.3 on average


def test_the_matcher_counts_twice_or_not(tmp_path):
    test = stepped()
    lenient = SegmentationProbe(num_units=4, matcher="lenient")
    (cell,) = run(lenient, test, tmp_path)
    found = values(cell)
    assert found["recall", 2] == 1
    frames = sum(num_frames(len(test.read(i))) for i in range(6))
    assert found["precision", 2] > 1.5 * 42 / (frames - 6)
    assert cell.key["settings"]["matcher"] == "lenient"


def test_an_example_is_drawn_of_clean_speech(tmp_path):
    test = stepped()
    noisy = GaussianNoise(30.0)
    clean, distorted = run(SegmentationProbe(num_units=4), test, tmp_path, conditions=[noisy])
    assert distorted.details == {} and {row.layer for row in distorted.rows} == {0, 1, 2}
    details = json.loads(json.dumps(clean.details))
    assert len(details["waveform"]) <= 4000 and details["layer"] == 0
    index = test.ids.index(details["utterance"])
    starts = [float(entry.split(":")[0]) for entry in test.alignments[index].split()]
    assert [phone[0] for phone in details["phones"]] == starts
    np.testing.assert_allclose(details["boundaries"], starts[1:], atol=0.0101)
    (drawing,) = SegmentationProbe.draw([distorted, clean, clean])
    above, below = drawing.figure.axes
    assert below.get_ylabel() == "levels, 0" and len(below.get_lines()) == 1 + len(starts) - 1
    drawn = above.get_lines()[0]
    assert len(drawn.get_xdata()) == details["samples"]
    assert drawn.get_xdata()[-1] == pytest.approx(starts[-1], abs=0.16)
    assert SegmentationProbe.draw([distorted]) == []


def test_utterances_without_alignment_are_left_out_and_one_speaker_has_no_interval(tmp_path):
    test = stepped(speakers=("s",))
    test.alignments[0] = ""
    test.alignments[1] = test.alignments[1].replace("0.000:", "0.000:B 0.000:")  # no length
    (cell,) = run(SegmentationProbe(num_units=4), test, tmp_path)
    assert values(cell)["f1", 0] == 1 and cell.rows[0].low is None
    more = test.select([1, 2, 3])
    more.speakers = None
    (cell,) = run(SegmentationProbe(num_units=4), more, tmp_path / "more")
    assert cell.rows[0].low == 1


def test_more_phones_than_frames(tmp_path):
    test = stepped(count=2)
    test.alignments[0] = " ".join(f"{0.002 * k:.3f}:{'AB'[k % 2]}" for k in range(600))
    features = CleanFeatures(Levels(), test, None, tmp_path, torch.float32)
    probe = SegmentationProbe(num_units=2)
    probe.fit(features, tmp_path)
    probe.begin(Clean())
    for index in range(2):
        probe.update(index, features.test_store[index])
    frames = features.test_store.lengths[0]
    assert len(probe._phones[0]) > frames
    found = {row.metric: row.value for row in probe.rows() if row.layer is None}
    assert 0 < found["boundary_f1_equal_length"] < 1


def test_wrong_settings_and_corpora_are_refused():
    test = stepped(1)
    assert SegmentationProbe().reason_to_skip(test, None) is None
    for alignments in (None, ["0.0:AA"]):
        bare = EvaluationSet(test.ids, test.audio, alignments=alignments)
        assert "no aligned phones" in SegmentationProbe().reason_to_skip(bare, None)
    for wrong in ({"num_units": 1}, {"matcher": "greedy"}, {"tolerance": -0.02}):
        with pytest.raises(ValueError, match=f"got {next(iter(wrong))} .*; expected"):
            SegmentationProbe(**wrong)
