import csv

import numpy as np
import pytest
import soundfile
from scipy.stats import bootstrap, spearmanr

from hf_rspin.evaluation import Evaluation, GaussianNoise
from hf_rspin.evaluation.measures.spoken_sts import spoken_sts
from hf_rspin.evaluation.probes.spoken_sts import SpokenSts, rank_interval

from .spoken_corpus import PHONES, SPEAKERS, ToneFeatures, spoken_corpus, tone

# (phones of the first sentence, of the second, score): as many as they share
PAIRS = [
    ("AA AA AA AA", "AA AA AA AA", 5.0), ("B B B CH", "B B B D", 4.0),
    ("AA AA B B", "AA AA CH CH", 2.5), ("D D D B", "AA AA CH D", 1.5), ("AA B", "CH D", 0.0),
]  # fmt: skip


def pairs(folder, speakers=("ann", "bob"), change=lambda row: row):
    folder.mkdir(exist_ok=True)
    rows = []
    for pair, (*sentences, score) in enumerate(PAIRS):
        for side, phones in enumerate(sentences):
            for speaker in speakers:
                waveform = np.concatenate([tone(PHONES[p], 0.1) for p in phones.split()])
                waveform = waveform + tone(SPEAKERS[speaker], len(waveform) / 16000)
                name = f"{pair}-{side}-{speaker}.wav"
                soundfile.write(folder / name, 0.2 * waveform, 16000)
                row = {"file_name": name, "pair": pair, "sentence": side + 1, "speaker": speaker}
                rows.append(change(row | {"score": score}))
    rows = [row for row in rows if row]
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(folder)


def test_meaning_is_in_the_layer_that_knows_what_is_said(tmp_path):
    probe = SpokenSts(pairs(tmp_path / "pairs"))
    noisy = [GaussianNoise(0.0)]
    evaluation = Evaluation(tmp_path / "out", spoken_corpus(2), noisy, [probe], progress=False)
    evaluation.run(ToneFeatures())
    (cell,) = evaluation.cells()  # of clean speech only
    assert [row.layer for row in cell.rows] == [0, 1, 2]
    assert cell.rows[0].value > 0.89 > max(row.value for row in cell.rows[1:])
    assert cell.details == {
        "corpus": "pairs", "pairs": 5, "recordings": 20, "pairs_left_out": 0
    }  # fmt: skip


def test_the_correlation_is_that_of_the_means(tmp_path):
    folder = tmp_path / "pairs"
    probe = SpokenSts(pairs(folder))
    evaluation = Evaluation(tmp_path / "out", spoken_corpus(2), [], [probe], progress=False)
    evaluation.run(ToneFeatures())
    (cell,) = evaluation.cells()

    def mean(pair, side, speaker):
        waveform, _ = soundfile.read(folder / f"{pair}-{side}-{speaker}.wav", dtype="float32")
        return ToneFeatures()(waveform)[0].mean(0).numpy()

    sides = [
        [[mean(pair, side, speaker) for speaker in ("ann", "bob")] for pair in range(5)]
        for side in (0, 1)
    ]
    expected = spoken_sts(*sides, [pair[2] for pair in PAIRS])
    assert cell.rows[0].value == pytest.approx(expected)
    probe._means = np.ones_like(probe._means)  # layers that collapsed
    assert np.isnan([row.value for row in probe.rows()]).all()


def test_the_interval_is_that_of_pairs_drawn_again():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=60)
    cosines = scores + rng.normal(size=60)
    found = bootstrap((cosines, scores), lambda x, y: spearmanr(x, y).statistic, paired=True,
                      vectorized=False, n_resamples=500, method="percentile", rng=rng)
    interval = rank_interval(cosines, scores, 0.7)
    assert interval.value == 0.7 and interval.units == 60
    assert interval.low == pytest.approx(found.confidence_interval.low, abs=0.04)
    assert interval.high == pytest.approx(found.confidence_interval.high, abs=0.04)
    two = rank_interval(np.arange(2.0), np.arange(2.0), 1.0)
    assert np.isfinite([two.low, two.high]).all()


def test_pairs_of_one_sentence_are_left_out_and_the_content_decides_the_key(tmp_path):
    whole, moved = SpokenSts(pairs(tmp_path / "a")), SpokenSts(pairs(tmp_path / "b"))
    assert whole.settings() == moved.settings()

    def without_one(row):
        return None if (row["pair"], row["sentence"]) == (1, 2) else row

    part = SpokenSts(pairs(tmp_path / "c", change=without_one))
    assert part.reason_to_skip(None, None) is None and part.settings() != whole.settings()
    assert (len(part._pairs.scores), part._pairs.left_out) == (4, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {k: v for k, v in row.items() if k != "score"}, "no column score"),
        (lambda row: row | {"sentence": 3}, "has a sentence 3; expected 1 or 2"),
        (lambda row: row | {"score": "high"}, "has a score 'high'; expected one number"),
        (lambda row: row | {"score": row["sentence"]}, "expected one number per pair"),
        (lambda row: row | {"score": 3}, "5 pairs of two recorded sentences, with scores that"),
    ],
)
def test_wrong_folders_are_refused(change, message, tmp_path):
    probe = SpokenSts(pairs(tmp_path, change=change))
    with pytest.raises(ValueError, match=message):
        probe.reason_to_skip(None, None)


def test_without_a_folder_it_is_left_out():
    assert "needs a folder of its own" in SpokenSts().reason_to_skip(None, None)
    assert SpokenSts().settings() == {"corpus": None}
