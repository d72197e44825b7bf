import pytest

from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise
from hf_rspin.evaluation.probes.mutual_information import LayerInformation

from .spoken_corpus import ToneFeatures, spoken_corpus


def run(probe, test, folder, train=None, factor=1):
    noisy = [GaussianNoise(0.0)]
    evaluation = Evaluation(folder, test, noisy, [probe], train, progress=False)
    evaluation.run(ToneFeatures(factor))
    (cell,) = evaluation.cells()  # distorted speech is not measured
    found = {}
    for row in cell.rows:
        found.setdefault(row.metric, []).append(row.value)
    return cell, found, evaluation.left_out


@pytest.mark.parametrize("factor", [1, 2])
def test_clusters_know_phones_and_words_in_the_layer_that_does(factor, tmp_path):
    train, test = spoken_corpus(32, seed=1), spoken_corpus(24)
    probe = LayerInformation(phone_clusters=8, word_clusters=10)
    cell, found, left_out = run(probe, test, tmp_path, train, factor)
    for name in ("mi_phones", "mi_words"):
        assert found[name][0] > 0.65 > 0.5 > max(found[name][1:]), name
    assert found["mi_phones"][0] > 0.95
    assert cell.details["phones"] == {"clusters": 8, "train": 32 * 8, "test": 24 * 8}
    assert left_out == []


def test_without_a_training_split_half_of_the_utterances_are_fitted_on(tmp_path):
    probe = LayerInformation(phone_clusters=8, max_utterances=4)
    cell, found, (remark,) = run(probe, spoken_corpus(25), tmp_path)
    assert found["mi_phones"][0] > 0.95
    assert cell.details["phones"] == {"clusters": 8, "train": 12 * 8, "test": 13 * 8}
    fitted = cell.details["words"]["train"]
    assert remark == (
        f"Mutual information of layers: {fitted // 4} clusters of words, not 5000: {fitted} tokens "
        "to fit on."
    )


def test_some_of_the_training_utterances_are_enough(tmp_path):
    train, test = spoken_corpus(40, seed=1), spoken_corpus(12)
    probe = LayerInformation(phone_clusters=8, word_clusters=4, max_utterances=20)
    cell, found, _ = run(probe, test, tmp_path, train)
    assert cell.details["phones"]["train"] == 20 * 8
    assert found["mi_phones"][0] > 0.95


def test_a_training_split_without_times_is_no_use(tmp_path):
    train = spoken_corpus(8, seed=1)
    train = EvaluationSet(train.ids, train.audio, alignments=train.alignments)
    probe = LayerInformation(phone_clusters=8, word_clusters=4)
    cell, *_ = run(probe, spoken_corpus(24), tmp_path, train)
    assert cell.details["phones"]["train"] == 8 * 8 and cell.details["words"]["train"] < 48


def test_what_is_missing_is_said():
    test = spoken_corpus(4)
    assert "needs phones or words with times, more than" in LayerInformation().reason_to_skip(
        EvaluationSet(test.ids, test.audio), None
    )
    no_words = EvaluationSet(test.ids, test.audio, alignments=test.alignments)
    probe = LayerInformation(phone_clusters=4)
    assert probe.reason_to_skip(no_words, None) is None
    assert probe.remark(no_words) == (
        "Mutual information of layers: words are left out: too few have times."
    )
    with pytest.raises(ValueError, match="got word_clusters 1; expected 2 or more"):
        LayerInformation(word_clusters=1)
    wrong = EvaluationSet(["u"], [{}], alignments=["0.0:SIL AA"])
    with pytest.raises(ValueError, match="column alignment of u: alignment entry 'AA'"):
        LayerInformation().reason_to_skip(wrong, None)
