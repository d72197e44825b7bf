import numpy as np
import pytest
import torch

from hf_rspin.evaluation import WeightedLayerSum, hold_out_speakers
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.trained.loop import evaluate_probe
from hf_rspin.evaluation.probes.trained.models import PhoneProbe
from hf_rspin.evaluation.probes.trained.training import train_probe

from .trained_corpora import PHONES, make_phones, phone_task, spoken


@pytest.fixture
def corpus(tmp_path):
    return spoken(tmp_path)


def test_the_probe_learns_phones_and_finds_their_layer(corpus):
    arguments = ProbeArguments(num_updates=120, batch_size=8, learning_rate=2e-2, evaluations=4)
    task = phone_task(*corpus)
    training = train_probe(make_phones, task, arguments)
    assert training.dev_error < 0.1 and training.search == []
    assert training.probe.layers.weights.argmax() == 1
    assert training.history[0]["loss"] > 2 * training.history[-1]["loss"]
    assert [entry["update"] for entry in training.history] == [30, 60, 90, 120]
    assert training.dev_error == min(entry["dev_error"] for entry in training.history)
    counts, loss = evaluate_probe(training.probe, task, range(40, 60))
    assert (counts.rate, loss) == (training.dev_error, training.dev_loss)


def test_the_weights_of_the_best_evaluation_are_kept_not_the_last(corpus):
    store, texts = corpus
    turned = {"AA": "B", "B": "AA", "CH": "D", "D": "CH"}  # after a while it is wrong on dev
    texts = texts[:40] + [" ".join(turned[p] for p in text.split()) for text in texts[40:]]
    arguments = ProbeArguments(num_updates=60, batch_size=8, learning_rate=2e-2, evaluations=60)
    task = phone_task(store, texts)
    training = train_probe(make_phones, task, arguments)
    errors = [entry["dev_error"] for entry in training.history]
    assert training.dev_error == min(errors) < errors[-1]
    assert evaluate_probe(training.probe, task, task.dev)[0].rate == min(errors)


def test_the_same_seed_gives_the_same_probe_whatever_was_drawn_before(corpus):
    arguments = ProbeArguments(num_updates=6, batch_size=4, learning_rates=[1e-2, 1e-3])

    def trained(seed):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        training = train_probe(make_phones, phone_task(*corpus), arguments)
        assert torch.equal(torch.get_rng_state(), before)
        return training.probe.state_dict()

    first, second = trained(1), trained(2)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_gives_the_scores_and_losses_of_its_utterances_one_by_one(corpus):
    store, texts = corpus
    probe = make_phones().eval()
    features, lengths = store.gather([4, 7])
    scores = probe(features, lengths)
    alone = probe(store[7], lengths[1:])
    torch.testing.assert_close(scores.split(lengths)[1], alone, atol=1e-5, rtol=1e-5)
    both = probe.losses(scores, lengths, [texts[4], texts[7]])
    torch.testing.assert_close(both[1:], probe.losses(alone, lengths[1:], [texts[7]]))
    # two frames, one phone: the sum over all alignments by hand
    scores = torch.randn(2, 5)
    p = scores.softmax(-1)
    paths = p[0, 1] * p[1, 1] + p[0, 0] * p[1, 1] + p[0, 1] * p[1, 0]
    torch.testing.assert_close(probe.losses(scores, [2], ["AA"])[0], -paths.log())


def test_utterances_that_do_not_fit_their_frames_are_left_out(tmp_path, caplog):
    store = write_store(tmp_path, iter([torch.randn(1, 3, 2), torch.randn(1, 9, 2)]), "key")
    texts = ["B B B", "AA B"]  # three equal phones need two blanks between them
    arguments = ProbeArguments(num_updates=2, batch_size=2, learning_rate=1e-3)

    def make():
        return PhoneProbe(1, 2, PHONES)

    training = train_probe(make, phone_task(store, texts, [0, 1], [0, 1]), arguments)
    assert np.isfinite([entry["dev_loss"] for entry in training.history]).all()
    assert "1 of 2 training utterances left out" in caplog.text
    with pytest.raises(ValueError, match="none of the 1 training utterances"):
        train_probe(make, phone_task(store, texts, [0], [1]), arguments)
    with pytest.raises(ValueError, match="none of the 1 utterances held out"):
        train_probe(make, phone_task(store, ["", "AA B"], [1], [0]), arguments)


def test_a_dev_phone_that_training_had_not_is_an_error(corpus):
    store, texts = corpus
    task = phone_task(store, [*texts[:40], *(text + " ZH" for text in texts[40:])])
    arguments = ProbeArguments(num_updates=60, batch_size=8, learning_rate=2e-2, evaluations=2)
    training = train_probe(make_phones, task, arguments)
    counts, loss = evaluate_probe(training.probe, task, task.dev)
    assert (counts.errors >= 1).all() and np.isnan(loss) and training.dev_loss is None


def test_the_layer_sum_starts_as_a_mean_and_its_weights_scale_with_the_norms():
    layers = WeightedLayerSum(3)
    features = torch.randn(3, 5, 4)
    torch.testing.assert_close(layers(features), features.mean(0))
    weights = layers.normalized_weights(torch.tensor([1.0, 2.0, 5.0]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 2.0, 5.0]) / 8)
    with pytest.raises(ValueError, match="features of 2 layers, expected 3"):
        layers(features[:2])
    with pytest.raises(ValueError, match="features of 4 dimensions, expected 8"):
        make_phones().recognize(features[:2])


def test_speakers_are_held_out_whole():
    speakers = [f"s{i % 10}" for i in range(50)]
    train, dev = hold_out_speakers(speakers, 0.2, seed=1)
    assert sorted(train + dev) == list(range(50))
    assert len({speakers[i] for i in dev}) == 2
    assert not {speakers[i] for i in dev} & {speakers[i] for i in train}
    with pytest.raises(ValueError, match="got 1 speaker"):
        hold_out_speakers(["a", "a"])
