import logging

import numpy as np
import pytest

from hf_rspin.evaluation import Evaluation, EvaluationSet
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.measures.cross_validated_pwcca import cross_validated_pwcca
from hf_rspin.evaluation.probes.pwcca import PwccaProbe
from hf_rspin.evaluation.probes.pwcca_views import log_mel_view, phone_view, word_view
from hf_rspin.evaluation.probes.tokens import pool

from .spoken_corpus import WORDS, ToneFeatures, spoken_corpus


def run(probe, test, folder, factor=1):
    evaluation = Evaluation(folder, test, [], [probe], progress=False)
    evaluation.run(ToneFeatures(factor))
    (cell,) = evaluation.cells()
    found = {}
    for row in cell.rows:
        found.setdefault(row.metric, []).append(row.value)
    return cell, found


def table(folder):
    """Vectors of words that count their phones, so that layer 0 knows them."""
    file = folder / "vectors.txt"
    lines = []
    for word, phones in WORDS.items():
        counts = [phones.split().count(phone) for phone in ("AA", "B", "CH")]
        lines.append(f"{word.lower()} {' '.join(map(str, counts))}")
    file.write_text("\n".join(lines))
    return str(file)


@pytest.mark.parametrize("factor", [1, 2])
def test_each_view_is_in_the_layer_that_knows_it(factor, tmp_path):
    probe = PwccaProbe(embeddings=table(tmp_path))
    cell, found = run(probe, spoken_corpus(60), tmp_path / "out", factor)
    for view in ("phones", "words", "embeddings"):
        right, *others = found[f"pwcca_{view}"]
        assert right > 0.5 > max(map(abs, others)), view
    spectra = found["pwcca_acoustic"]
    assert min(spectra[:2]) > 0.7 > 0.2 > abs(spectra[2])
    shapes = cell.details["samples_and_dimensions"]
    assert shapes["phones"] == [480, 4] and shapes["words"][1] == 7
    assert shapes["embeddings"] == [shapes["words"][0], 3]
    assert len(cell.key["settings"]["embeddings"]) == 16  # a hash, not the path


def test_scores_are_those_of_the_measure(tmp_path):
    test, features = spoken_corpus(30), ToneFeatures()
    store = write_store(tmp_path / "s", map(features, map(test.read, range(30))), "test")
    view = phone_view(test, store, 0)
    expected = cross_validated_pwcca(pool(store, 0, view.places), view.targets, view.strata, "full")
    probe = PwccaProbe(views=["phones"], protocol="full")
    _, found = run(probe, test, tmp_path / "out")
    assert found == {"pwcca_phones": [pytest.approx(expected.score), *found["pwcca_phones"][1:]]}


def test_views_hold_what_the_protocol_says(tmp_path):
    test, features = spoken_corpus(120), ToneFeatures()
    store = write_store(tmp_path, map(features, map(test.read, range(120))), "test")
    phones = phone_view(test, store, 0)
    assert np.unique(phones.strata, return_counts=True)[1].tolist() == [200] * 4
    assert (phones.targets.sum(1) == 1).all() and (phones.places[:, 2] > phones.places[:, 1]).all()
    words = word_view(test, store, 0)
    assert set(words.strata) == {word.lower() for word in WORDS}
    assert np.unique(words.strata, return_counts=True)[1].tolist() == [15] * 7
    spectra = log_mel_view(test, store, 0, num_utterances=8, max_frames=100)
    assert spectra.targets.shape == (100, 80) and len(np.unique(spectra.places[:, 0])) == 8
    assert len(np.unique(spectra.places, axis=0)) == 100
    again = log_mel_view(test, store, 1, num_utterances=8, max_frames=100)
    assert not np.array_equal(again.places, spectra.places)


def test_rare_words_leave_until_there_are_ten_tokens_each(tmp_path):
    words = ["the"] * 15 + ["a"] * 12 + ["of"] * 6 + ["rare"]
    starts = " ".join(f"{0.02 * k:.2f}:{word}" for k, word in enumerate(words))
    noise = {"array": np.ones(16000, "f4"), "sampling_rate": 16000}
    test = EvaluationSet(["u"], [noise], word_alignments=[starts])
    store = write_store(tmp_path, [ToneFeatures()(test.read(0))], "test")
    assert set(word_view(test, store, 0).strata) == {"the", "a", "of"}  # 33 tokens of 3 words


def test_too_little_speech_leaves_a_view_out_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        cell, found = run(PwccaProbe(views=("phones", "words")), spoken_corpus(6), tmp_path)
    assert list(found) == ["pwcca_phones"]
    assert "ten times" in cell.details["left_out"]["words"]
    assert "PWCCA with words is left out: " in caplog.text


def test_a_layer_that_collapsed_has_no_score(tmp_path):
    class Collapsed(ToneFeatures):
        def __call__(self, waveform):
            values = super().__call__(waveform)
            values[1] = 1
            return values

    evaluation = Evaluation(tmp_path, spoken_corpus(), [], [PwccaProbe(["phones"])], progress=False)
    evaluation.run(Collapsed())
    (cell,) = evaluation.cells()
    assert [np.isnan(row.value) for row in cell.rows] == [False, True, False]


def test_what_is_missing_is_said(tmp_path):
    test = spoken_corpus(4)
    bare = EvaluationSet(test.ids, test.audio, test.speakers)
    assert PwccaProbe().reason_to_skip(test, None) is None and PwccaProbe().remark(test) is None
    assert PwccaProbe().reason_to_skip(bare, None) is None  # the spectra need no label
    assert "phones need a phone alignment; words need word times." in PwccaProbe().remark(bare)
    reason = PwccaProbe(["words", "embeddings"]).reason_to_skip(bare, None)
    assert reason.startswith("PWCCA is left out: words need word times; word vectors need")
    with pytest.raises(ValueError, match="there is no table of embeddings"):
        PwccaProbe(embeddings=str(tmp_path / "none.txt")).reason_to_skip(test, None)
    with pytest.raises(ValueError, match=r"got views \['letters'\]; expected some of"):
        PwccaProbe(["letters"])
    with pytest.raises(ValueError, match="got protocol 'half'; expected published or full"):
        PwccaProbe(protocol="half")
    with pytest.raises(ValueError, match="got max_frames 0"):
        PwccaProbe(max_frames=0)
