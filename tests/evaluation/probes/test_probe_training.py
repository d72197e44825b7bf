"""Arguments, the search of the learning rate, batches, and the folder of a trained probe."""

import itertools
import json

import numpy as np
import pytest
import torch

from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.trained import folder as probe_folder
from hf_rspin.evaluation.probes.trained.examples import CroppedMeans, Utterances, random_batches
from hf_rspin.evaluation.probes.trained.folder import (
    is_probe,
    load_probe,
    read_training,
    save_probe,
)
from hf_rspin.evaluation.probes.trained.loop import Task
from hf_rspin.evaluation.probes.trained.models import CharacterProbe, UtteranceProbe
from hf_rspin.evaluation.probes.trained.training import train_probe
from hf_rspin.training.cli import parse_arguments

from .trained_corpora import make_phones, phone_task, spoken


@pytest.mark.parametrize("rates", [[1e-5, 2e-2], [2e-2, 1e-5]])
def test_the_better_of_two_learning_rates_is_found_on_dev_and_trained_in_full(
    tmp_path, rates, caplog
):
    arguments = ProbeArguments(
        learning_rates=rates, num_updates=80, batch_size=8, search_share=0.5, evaluations=4
    )
    task = phone_task(*spoken(tmp_path))
    training = train_probe(make_phones, task, arguments)
    assert training.learning_rate == 2e-2
    assert [one["learning_rate"] for one in training.search] == rates
    assert {one["updates"] for one in training.search} == {40}
    best, worse = sorted(training.search, key=lambda one: one["dev_loss"])
    assert best["learning_rate"] == 2e-2 and best["dev_error"] < 0.5 < worse["dev_error"]
    assert training.history[-1]["update"] == 80 and training.dev_error <= best["dev_error"]
    assert "0.02, is the highest of those tried; add higher ones" in caplog.text
    alone = ProbeArguments(learning_rate=2e-2, num_updates=80, batch_size=8, evaluations=4)
    again = train_probe(make_phones, task, alone)
    assert again.history == training.history and again.search == []
    assert training.probe.config() == again.probe.config()


def test_babble_does_not_win_a_search_that_ends_before_anything_is_learned():
    from hf_rspin.evaluation.probes.trained.training import _best_rate

    def tried(rate, error, loss):
        return {"learning_rate": rate, "dev_error": error, "dev_loss": loss}

    blanks, babble, diverged = tried(1e-3, 1.0, 2.9), tried(1e-5, 0.93, 5.9), tried(1, None, None)
    assert _best_rate([diverged, blanks, babble]) == 1e-3
    assert _best_rate([blanks, babble, tried(1e-2, 0.5, 9.0)]) == 1e-2
    with pytest.raises(ValueError, match="diverged at every learning rate"):
        _best_rate([diverged])


def test_a_training_that_diverges_says_so_or_keeps_its_best_weights(tmp_path, caplog):
    store, texts = spoken(tmp_path)
    examples = Utterances(store)
    task = Task(examples, texts, range(40), range(40, 60), progress=False)
    arguments = ProbeArguments(learning_rate=1e-2, num_updates=8, batch_size=8, evaluations=4)
    batch, calls = examples.batch, itertools.count()

    def poisoned_from(first):
        def found(indices, rng=None):
            features, lengths = batch(indices, rng)
            spoiled = rng is not None and next(calls) >= first
            return (features * float("nan") if spoiled else features), lengths

        return found

    examples.batch = poisoned_from(0)
    with pytest.raises(ValueError, match="no number at update 1 .* give a lower one"):
        train_probe(make_phones, task, arguments)
    calls = itertools.count()
    examples.batch = poisoned_from(5)
    training = train_probe(make_phones, task, arguments)
    assert len(training.history) == 2 and "at update 6" in caplog.text
    assert all(value.isfinite().all() for value in training.probe.state_dict().values())


def test_arguments_of_papers_files_and_command_lines(tmp_path):
    superb = ProbeArguments.recipe("superb", "pr")
    assert (superb.rates(), superb.num_updates, superb.schedule) == ([1e-2], 100_000, "constant")
    assert ProbeArguments.recipe("rspin", "asr").num_updates == 100_000
    with pytest.raises(ValueError, match="got recipe superb qbe; expected one of superb pr"):
        ProbeArguments.recipe("superb", "qbe")
    file = tmp_path / "a.yaml"
    file.write_text("learning_rates: [0.1, 0.01]\nnum_updates: 7\n")
    (parsed,) = parse_arguments(ProbeArguments, arguments=[str(file)])
    assert (parsed.rates(), parsed.num_updates) == ([0.1, 0.01], 7)
    (parsed,) = parse_arguments(ProbeArguments, arguments=["--learning_rate", "1e-3"])
    assert parsed.rates() == [1e-3] and len(ProbeArguments().rates()) == 5
    # what a search that is not made would have tried decides nothing
    one, other = ProbeArguments(1e-3, [1.0], 0.5), ProbeArguments(None, [1e-3])
    assert one.settings() == other.settings() != ProbeArguments(1e-2).settings()
    assert ProbeArguments(search_share=0.2).settings() != ProbeArguments().settings()


def test_what_is_given_beside_a_recipe_counts():
    recipe = ProbeArguments.recipe("superb", "sid")
    assert recipe.with_changes_of(ProbeArguments()) == recipe and recipe.rates() == [1e-4]
    searched = recipe.with_changes_of(ProbeArguments(learning_rates=[1e-1, 1e-2]))
    assert searched.rates() == [1e-1, 1e-2] and searched.num_updates == 200_000
    found = recipe.with_changes_of(ProbeArguments(learning_rate=1e-3, num_updates=7, seed=3))
    assert (found.rates(), found.num_updates, found.seed) == ([1e-3], 7, 3)
    assert found.schedule == "constant"



@pytest.mark.parametrize(
    "wrong",
    [
        {name: 0}
        for name in ("num_updates", "batch_size", "evaluations", "learning_rate", "search_share")
    ]
    + [{"learning_rates": []}, {"learning_rates": [1e-3, 0.0]}, {"schedule": "linear"}],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ProbeArguments(**wrong)


def test_an_epoch_has_no_utterance_twice_and_pooled_batches_are_of_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 1000, 203)
    indices = range(3, 203)
    for pool in (1, 5):
        batches = random_batches(lengths, indices, 8, np.random.default_rng(0), pool)
        epochs = [list(itertools.islice(batches, 25)) for _ in "ab"]
        for epoch in epochs:
            assert sorted(i for batch in epoch for i in batch) == list(indices)
        assert epochs[0] != epochs[1]
        spread = np.mean([np.ptp(lengths[batch]) for batch in epochs[0]])
        assert spread > 700 if pool == 1 else spread < 350
    few = random_batches(lengths, [5, 6, 7], 8, np.random.default_rng(0))
    assert sorted(next(few)) == sorted(next(few)) == [5, 6, 7]


def test_means_of_crops_are_those_of_the_frames(tmp_path):
    store = write_store(tmp_path, (torch.randn(2, n, 3) for n in (4, 9)), "key", torch.float32)
    examples = CroppedMeans(store, 6)
    features, lengths = examples.batch([0, 1])
    assert lengths == [1, 1] and features.shape == (2, 2, 3)
    torch.testing.assert_close(features[:, 1], store[1].mean(1))
    crops = torch.stack([store[1][:, k : k + 6].mean(1) for k in range(4)])
    rng, found = np.random.default_rng(0), set()
    for _ in range(30):
        features, _ = examples.batch([0, 1], rng)
        torch.testing.assert_close(features[:, 0], store[0].mean(1))
        found.add(int((crops - features[:, 1]).abs().amax((1, 2)).argmin()))
    assert found == {0, 1, 2, 3}
    probe = UtteranceProbe(2, 3, ["x", "y"])  # the mean first or last: the same head
    whole, lengths = store.gather([0, 1])
    projected = probe.head.projection(probe.layers(whole)).split(lengths)
    expected = probe.head.classifier(torch.stack([part.mean(0) for part in projected]))
    torch.testing.assert_close(probe(*examples.batch([0, 1])), expected)
    torch.testing.assert_close(probe(whole, lengths), expected)


def test_a_loaded_probe_recognises_what_the_trained_one_did(tmp_path):
    torch.manual_seed(0)
    features = torch.randn(2, 40, 8)
    for probe in (
        make_phones(),
        CharacterProbe(2, 8, [" ", "a", "é"], hidden_size=4, depth=1),
        UtteranceProbe(2, 8, ["Anna B", "Ben"], 4),
    ):
        place = tmp_path / probe.kind
        assert not is_probe(place)
        save_probe(place, probe.eval(), {"learning_rate": 0.1})
        assert sorted(file.name for file in place.iterdir()) == [
            "config.json", "probe.safetensors"
        ]  # fmt: skip
        loaded = load_probe(place)
        assert not loaded.training and loaded.config() == probe.config()
        assert torch.equal(loaded(features, [40]), probe(features, [40]))
        assert loaded.recognize(features) == probe.recognize(features) != ""
        assert read_training(place) == {"learning_rate": 0.1}


def test_a_process_killed_while_it_saves_leaves_no_folder(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(probe_folder, "save_file", killed)
        save_probe(tmp_path / "probe", make_phones(), {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="holds no trained probe"):
        load_probe(tmp_path / "probe")
    save_probe(tmp_path / "probe", make_phones(), {})
    config = json.loads((tmp_path / "probe" / "config.json").read_text())
    (tmp_path / "probe" / "config.json").write_text(json.dumps(config | {"dim": 9}))
    with pytest.raises(ValueError, match="cannot be read .* train it again"):
        load_probe(tmp_path / "probe")
    (tmp_path / "probe" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        load_probe(tmp_path / "probe")
