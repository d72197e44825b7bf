import numpy as np
import pytest
import torch

from hf_rspin.evaluation import hold_out_speakers
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.phone_labels import PhoneVocabulary
from hf_rspin.evaluation.probes.phone_probe import (
    PhoneProbe,
    ProbeArguments,
    evaluate_probe,
    train_probe,
)

PHONES = ["AA", "B", "CH", "D"]


@pytest.fixture
def corpus(tmp_path):
    """Two layers of features; only layer 1 says which phone is spoken (three frames each)."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(PHONES), 8))
    phones, features = [], []
    for _ in range(60):
        # No equal neighbours: a probe that sees single frames cannot tell them apart.
        steps = rng.integers(1, len(PHONES), rng.integers(3, 8))
        labels = steps.cumsum() % len(PHONES)
        frames = means[np.repeat(labels, 3)] + rng.normal(0, 0.2, (3 * len(labels), 8))
        features.append(torch.from_numpy(np.stack([rng.normal(size=frames.shape), frames])).float())
        phones.append([PHONES[label] for label in labels])
    return write_store(tmp_path, iter(features), "key"), phones


def test_the_probe_learns_phones_and_finds_their_layer(corpus):
    store, phones = corpus
    train, dev = range(40), range(40, 60)
    arguments = ProbeArguments(num_updates=120, batch_size=8, learning_rate=1e-2, evaluations=4)
    training = train_probe(store, phones, train, dev, arguments)
    assert training.dev_per < 0.1
    assert training.probe.layers.weights.argmax() == 1
    assert training.history[0]["loss"] > 2 * training.history[-1]["loss"]
    assert training.dev_per == min(entry["dev_per"] for entry in training.history)
    assert evaluate_probe(training.probe, store, phones, dev).rate == training.dev_per


def test_the_weights_of_the_best_evaluation_are_kept_not_the_last(corpus):
    store, phones = corpus
    phones = phones[:40] + [["AA"]] * 20  # the more phones the probe says, the worse on dev
    arguments = ProbeArguments(num_updates=60, batch_size=8, learning_rate=1e-2, evaluations=60)
    training = train_probe(store, phones, range(40), range(40, 60), arguments)
    rates = [entry["dev_per"] for entry in training.history]
    assert rates[-1] > min(rates) + 1  # it says blanks first
    assert training.dev_per == min(rates)
    found = evaluate_probe(training.probe, store, phones, range(40, 60)).rate
    assert found == pytest.approx(min(rates))


def test_the_same_seed_gives_the_same_probe(corpus):
    store, phones = corpus
    arguments = ProbeArguments(num_updates=6, batch_size=4)
    first, second = (train_probe(store, phones, range(40), range(40, 60), arguments) for _ in "ab")
    for a, b in zip(first.probe.parameters(), second.probe.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_batch_gives_the_gradient_of_its_utterances_one_by_one(corpus):
    store, phones = corpus
    probe = PhoneProbe(2, 8, PhoneVocabulary(tuple(PHONES)))
    features, lengths = store.gather([4, 7])
    torch.testing.assert_close(
        probe(features).split(lengths)[1], probe(store[7]), atol=1e-5, rtol=1e-5
    )


def test_utterances_that_do_not_fit_their_frames_are_left_out(tmp_path, caplog):
    store = write_store(tmp_path, iter([torch.randn(1, 3, 2), torch.randn(1, 9, 2)]), "key")
    phones = [["B", "B", "B"], ["AA", "B"]]  # three equal phones need two blanks between them
    arguments = ProbeArguments(num_updates=2, batch_size=2)
    training = train_probe(store, phones, [0, 1], [1], arguments)
    assert np.isfinite([entry["loss"] for entry in training.history]).all()
    assert "1 of 2 training utterances left out" in caplog.text
    with pytest.raises(ValueError, match="no training utterance"):
        train_probe(store, phones, [0], [1], arguments)


def test_speakers_are_held_out_whole():
    speakers = [f"s{i % 10}" for i in range(50)]
    train, dev = hold_out_speakers(speakers, 0.2, seed=1)
    assert sorted(train + dev) == list(range(50))
    assert len({speakers[i] for i in dev}) == 2
    assert not {speakers[i] for i in dev} & {speakers[i] for i in train}
    with pytest.raises(ValueError, match="got 1 speaker"):
        hold_out_speakers(["a", "a"])


@pytest.mark.parametrize("field", ["num_updates", "batch_size", "evaluations", "learning_rate"])
def test_wrong_arguments_are_refused(field):
    with pytest.raises(ValueError, match=field):
        ProbeArguments(**{field: 0})
