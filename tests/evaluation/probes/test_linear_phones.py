import numpy as np
import pytest
import torch

from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise, LinearPhones, to_table
from hf_rspin.evaluation.probes.linear_phones import FrameClassifier

from ..corpora import Counted, FrameStatistics, loud_and_soft


class Loudness(FrameStatistics):
    """Layer 0: the loudness of each frame, beside what says nothing; layer 1: only the latter."""

    def __call__(self, waveform):
        found = super().__call__(waveform)
        found[0] = found[1]
        found[0, :, 0] = torch.from_numpy(waveform).unfold(0, 400, 320).std(dim=1).log()
        return found


@pytest.fixture
def corpora(tmp_path):
    return loud_and_soft(tmp_path, "a"), loud_and_soft(tmp_path, "bb")


def accuracies(tmp_path, corpora, probe=None, conditions=(), features=None):
    train, test = corpora
    evaluation = Evaluation(
        tmp_path / "out", test, conditions, [probe or LinearPhones(num_updates=150)], train,
        torch.float32, progress=False,
    )  # fmt: skip
    evaluation.run(features or Loudness())
    return to_table(evaluation.cells()).set_index(["condition", "layer"])


def test_the_layer_that_tells_the_phone_is_found_and_noise_hides_it(corpora, tmp_path):
    table = accuracies(tmp_path, corpora, conditions=[GaussianNoise(-10.0)])
    found = table["value"]
    # of five frames one may hold the step from one phone to the next
    assert found["clean", 0] > 0.85 > 0.7 > found["gaussian", 0]
    assert abs(found["clean", 1] - 0.5) < 0.1 and found["clean", 1] == found["gaussian", 1]
    # two speakers: the interval is between the rates of the two
    assert (table["low"] <= found).all() and (found <= table["high"]).all()
    assert set(table["metric"]) == {"phone_accuracy"}


def test_silence_is_left_out_and_a_phone_that_training_had_not_is_an_error(corpora, tmp_path):
    train, test = corpora
    loud = [text.replace(":S", ":SIL") for text in train.alignments]
    train.alignments, probe = loud, LinearPhones(num_updates=150)
    found = accuracies(tmp_path, corpora, probe)["value"]
    share = np.mean([np.mean([p == "L" for p in row]) for row in test.phones_of_frames()])
    assert found["clean", 0] == found["clean", 1] == pytest.approx(share)  # all is called L
    test.alignments = [text.replace(":S", ":SIL") for text in test.alignments]
    assert (accuracies(tmp_path, corpora)["value"] == 1).all()


def test_cells_hold_what_paired_tests_need(corpora, tmp_path):
    train, test = corpora
    probe = LinearPhones(num_updates=150)
    evaluation = Evaluation(
        tmp_path, test, [GaussianNoise()], [probe], train, torch.float32, progress=False
    )
    evaluation.run(Loudness())
    clean, noisy = evaluation.cells()
    for cell in (clean, noisy):
        errors = np.array(cell.details["layer_errors"])
        assert errors.shape == (2, len(test)) and cell.details["groups"] == test.speakers
        shares = 1 - errors.sum(1) / sum(cell.details["lengths"])
        assert shares == pytest.approx([row.value for row in cell.rows])
    assert 0.5 <= clean.details["majority"] < 0.6 and "majority" not in noisy.details

    class Other(Loudness):
        name = "other"

        def fingerprint(self):
            return "other"

    evaluation.run(Other())
    table = to_table(evaluation.cells())
    found = table[table["metric"] == "phone_accuracy_difference"]
    assert found["value"].tolist() == [0, 0] and found["layer"].tolist() == [0, 0]


def test_it_learns_from_some_aligned_utterances_only(corpora, tmp_path):
    train, _ = corpora
    train.alignments[:6] = [""] * 6
    features = Counted()
    probe = LinearPhones(max_utterances=4, max_frames=50, num_updates=1)
    accuracies(tmp_path, corpora, probe, [], features)
    assert features.calls == 4 + 12


def test_what_is_missing_is_said(corpora, tmp_path):
    train, test = corpora
    bare = EvaluationSet(test.ids, test.audio)
    for pair in ((test, None), (test, bare), (bare, train)):
        assert "needs a training split, and phone align" in LinearPhones().reason_to_skip(*pair)
    assert LinearPhones().reason_to_skip(test, train) is None
    train.alignments[3] = "see the text grid"
    with pytest.raises(ValueError, match="column alignment of a3: alignment entry 'see'"):
        LinearPhones().reason_to_skip(test, train)
    with pytest.raises(ValueError, match="got max_frames 0"):
        LinearPhones(max_frames=0)
    silent = EvaluationSet(test.ids, test.audio, None, None, ["0.0:SIL"] * len(test))
    evaluation = Evaluation(tmp_path, test, [], [LinearPhones()], silent, progress=False)
    evaluation.run(FrameStatistics())
    assert "training utterances have no aligned phone" in evaluation.left_out[-1]
    assert not evaluation.cells()


def test_the_classifier_reaches_that_of_scikit_learn_whatever_the_scale_of_dimensions():
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    centres = generator.normal(size=(5, 8))
    labels = generator.integers(0, 5, 4000)
    frames = (centres[labels] + 0.9 * generator.normal(size=(4000, 8))).astype("f4")
    scaled = torch.from_numpy(frames * 10.0 ** np.arange(-3, 5) + 7).float()
    scaled = torch.cat([scaled, torch.full((4000, 1), 3.0)], dim=1)  # never changes
    classes = torch.from_numpy(labels)
    classifier = FrameClassifier(5).fit(scaled[:3000], classes[:3000])
    again = FrameClassifier(5).fit(scaled[:3000], classes[:3000])
    found = classifier.predict(scaled[3000:])
    assert torch.equal(found, again.predict(scaled[3000:]))
    reference = LogisticRegression().fit(frames[:3000], labels[:3000])
    assert (found.numpy() == labels[3000:]).mean() == pytest.approx(
        reference.score(frames[3000:], labels[3000:]), abs=0.01
    )
