"""Seeds side by side, work divided among processes, features kept for the next call."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_rspin.evaluation import (
    CkaProbe,
    Evaluation,
    GaussianNoise,
    LinearPhones,
    Probe,
    ProbeArguments,
    SpeakerIdentification,
    UnitProbe,
    to_table,
)
from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.conditions import Clean, make_conditions
from hf_rspin.evaluation.long_table import over_seeds
from hf_rspin.evaluation.probes import Metric, Row
from hf_rspin.evaluation.shards import label, shard_of
from hf_rspin.evaluation.table import sections

from .corpora import Counted, loud_and_soft, tones


class PairsOfUtterances(Probe):
    """Compares utterances with each other: needs the features of all of them."""

    name = "pairs"
    metrics = (Metric("pair_distance", "Distance", "distance", "Of the first and the last."),)

    def finish(self, store):
        first, last = store[0].mean(1), store[len(store) - 1].mean(1)
        self.distance = float((first - last).norm())

    def rows(self):
        return [Row("pair_distance", self.distance)]


@pytest.fixture
def corpora(tmp_path):
    return tones(tmp_path, "train", 12), tones(tmp_path, "test", 9)


def evaluate(folder, corpora, probes, conditions=(), **options):
    train, test = corpora
    return Evaluation(folder, test, conditions, probes, train, progress=False, **options)


def test_seeds_are_cells_of_their_own_and_tables_have_their_mean_and_spread(tmp_path):
    corpora = loud_and_soft(tmp_path, "train"), loud_and_soft(tmp_path, "test")
    probes = [UnitProbe(4, seed=seed) for seed in range(3)]
    evaluation = evaluate(tmp_path / "out", corpora, probes)
    encoder = Counted()
    evaluation.run(encoder)
    assert encoder.calls == 24  # features once for all seeds
    table = to_table(evaluation.cells())
    values = table[table["metric"] == "pnmi"]
    assert values["seed"].tolist() == [0, 1, 2]
    mean = over_seeds(table).set_index("metric").loc["pnmi"]
    assert mean["value"] == pytest.approx(values["value"].mean())
    assert mean["spread"] == pytest.approx(np.std(values["value"], ddof=1))
    assert mean["num_seeds"] == 3
    fewer = evaluate(tmp_path / "out", corpora, probes[:2])
    assert len(fewer.cells()) == 2


def test_shards_divide_the_work_and_together_give_the_table_of_one_process(corpora, tmp_path):
    conditions = [GaussianNoise(0.0), GaussianNoise(10.0)]
    encoders = {"a": Counted(name="a"), "b": Counted(context=1, name="b")}

    def make(folder):
        return evaluate(folder, corpora, [CkaProbe(), PairsOfUtterances()], conditions)

    whole = make(tmp_path / "whole")
    for encoder in encoders.values():
        whole.run(encoder)
    done = []
    for shard in range(4):
        part = make(tmp_path / "shards")
        share = shard_of(list(encoders), part.conditions, shard, 4)
        done += [(name, condition) for name, some in share.items() for condition in some]
        for name, some in share.items():
            part.run(encoders[name], conditions=some, part=f"{shard}_of_4")
    assert len(done) == len(set(done)) == 6
    assert not list((tmp_path / "shards" / "features").iterdir())
    left, right = (to_table(make(tmp_path / name).cells()) for name in ("whole", "shards"))
    keys = ["encoder", "probe", "condition", "snr_db", "layer", "metric"]
    assert left[[*keys, "value"]].equals(
        right.sort_values(keys, key=lambda c: c.map(str)).pipe(
            lambda t: t.set_index(keys).loc[left.set_index(keys).index].reset_index()
        )[[*keys, "value"]]
    )
    for shard in (-1, 4):
        with pytest.raises(ValueError, match=f"got shard {shard} of 4; expected 0 to 3"):
            shard_of(["a"], conditions, shard, 4)


def test_every_pair_is_in_exactly_one_shard():
    conditions = [Clean(), GaussianNoise(0.0), GaussianNoise(5.0)]
    for num_shards in (1, 2, 5, 9, 12):
        shares = [shard_of(["a", "b", "c"], conditions, i, num_shards) for i in range(num_shards)]
        pairs = [(n, c) for share in shares for n, some in share.items() for c in some]
        assert sorted(pairs) == sorted((n, label(c)) for n in "abc" for c in conditions)
        sizes = [sum(map(len, share.values())) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_kept_features_serve_probes_that_come_later(corpora, tmp_path):
    train, test = corpora
    noise, encoder = [GaussianNoise(0.0)], Counted()
    evaluate(tmp_path / "out", corpora, [CkaProbe()], noise, keep_features=True).run(encoder)
    assert encoder.calls == 2 * len(test)
    evaluate(tmp_path / "out", corpora, [CkaProbe(), PairsOfUtterances()], noise).run(encoder)
    assert encoder.calls == 2 * len(test)
    assert not list((tmp_path / "out" / "features").iterdir())  # this call was not to keep them
    alone = evaluate(tmp_path / "alone", corpora, [CkaProbe(), PairsOfUtterances()], noise)
    alone.run(Counted())
    together = evaluate(tmp_path / "out", corpora, [CkaProbe(), PairsOfUtterances()], noise)
    assert [c.rows for c in alone.cells()] == [c.rows for c in together.cells()]


def test_every_pair_of_encoders_is_compared_on_errors_averaged_over_seeds(tmp_path):
    def cell(encoder, errors, seed):
        rows = [Row("phone_error_rate", sum(errors) / 40)]
        return Cell(encoder, "pr", "clean", None, {"settings": {"seed": seed}}, rows,
                    {"errors": errors, "lengths": [10] * 4, "groups": list("ssrr")})

    cells = [cell("a", [4, 4, 4, 4], 0), cell("a", [6, 6, 6, 6], 1),
             cell("b", [2, 2, 2, 2], 0), cell("b", [4, 4, 4, 4], 1),
             cell("c", [5, 5, 5, 5], 0)]  # fmt: skip
    table = to_table(cells)
    found = table[table["metric"] == "phone_error_rate_difference"]
    assert found[["encoder", "reference"]].values.tolist() == [["b", "a"], ["c", "a"], ["c", "b"]]
    assert found["value"].tolist() == pytest.approx([-0.2, 0.1, 0.3])  # c has seed 0 alone
    titles = [section.title for section in sections(table)]
    assert any("difference to a" in title for title in titles)
    assert any("every pair" in title for title in titles)
    rows = next(s for s in sections(table) if s.title.startswith("Phones")).rows
    assert rows[0][1].startswith("50.0 ± 14.1")


def test_seeds_that_disagree_show_no_difference():
    def cell(encoder, errors, seed):
        rows = [Row("phone_error_rate", errors / 10)]
        return Cell(encoder, "pr", "clean", None, {"settings": {"seed": seed}}, rows,
                    {"errors": [errors] * 30, "lengths": [10] * 30})  # fmt: skip

    def p_value(*second):
        cells = [cell("a", 5, 0), cell("a", 5, 1), *(cell("b", e, s) for s, e in enumerate(second))]
        table = to_table(cells)
        return table.loc[table["metric"] == "phone_error_rate_difference", "p_value"].iloc[0]

    assert p_value(3, 4) < 0.05
    assert p_value(1, 6) == 1.0


def test_probes_that_are_equal_are_refused(corpora, tmp_path):
    with pytest.raises(ValueError, match="probes .* expected each once"):
        evaluate(tmp_path, corpora, [LinearPhones(seed=1), LinearPhones(seed=1)])


def test_what_was_learned_from_some_test_utterances_does_not_measure_others(corpora, tmp_path):
    train, test = corpora
    probe = SpeakerIdentification(arguments=ProbeArguments(
        learning_rate=1e-2, num_updates=20, evaluations=2), all_layers=True)  # fmt: skip
    parts = [test.select(range(6)), test.select(range(3, 9))]

    def accuracy(folder, part):
        evaluation = Evaluation(folder, part, [], [probe], train, progress=False)
        evaluation.run(Counted())
        return [cell.rows for cell in evaluation.cells()]

    together = [accuracy(tmp_path / "out", part) for part in parts]
    assert together == [accuracy(tmp_path / str(k), part) for k, part in enumerate(parts)]
    assert len(list((tmp_path / "out" / "probes").iterdir())) == 2


class Failing(Probe):
    """A probe that this corpus is too small for, under some conditions."""

    name, metrics = "failing", (Metric("never", "Never", "never", "Never."),)

    def __init__(self, *conditions, seed=0):
        self.conditions, self.seed = conditions, seed

    def settings(self):
        return {"seed": self.seed}

    def begin(self, condition):
        self.condition = condition.name

    def finish(self, store):
        if self.condition in self.conditions:
            raise ValueError("got 3 utterances; expected more: give more speech.")

    def rows(self):
        return [Row("never", 1.0)]


def test_a_probe_that_cannot_measure_is_left_out_and_the_others_go_on(corpora, tmp_path, caplog):
    train, test = corpora
    conditions = make_conditions(["gaussian", "lowpass", "clipping"])
    probes = [Failing("gaussian", "lowpass", seed=seed) for seed in (0, 1)]
    probes.append(PairsOfUtterances())
    evaluation = Evaluation(tmp_path / "out", test, conditions, probes, train, progress=False)
    evaluation.run(Counted())
    found = {(cell.probe, cell.condition) for cell in evaluation.cells()}
    assert {condition for probe, condition in found if probe == "failing"} == {"clean", "clipping"}
    assert len([pair for pair in found if pair[0] == "pairs"]) == 4
    (sentence,) = evaluation.left_out
    assert sentence == (
        "failing of log-mel under gaussian at 0 dB, lowpass is left out: got 3 utterances; "
        "expected more: give more speech."
    )
    assert caplog.text.count("failing of log-mel under gaussian at 0 dB is left out: got 3") == 1


def test_a_probe_that_cannot_learn_is_left_out_for_good(corpora, tmp_path):
    class Unlearned(Failing):
        def fit(self, features, state):
            raise ValueError("got one speaker; expected more.")

    evaluation = evaluate(tmp_path / "out", corpora, [Unlearned(), Unlearned(seed=1)])
    evaluation.run(Counted())
    assert evaluation.cells() == []
    assert evaluation.left_out == [
        "failing of log-mel is left out: got one speaker; expected more."
    ]


def test_a_damaged_cell_is_measured_again(corpora, tmp_path, caplog):
    evaluation = evaluate(tmp_path / "out", corpora, [PairsOfUtterances()])
    evaluation.run(Counted())
    (file,) = (tmp_path / "out" / "cells").iterdir()
    whole = json.loads(file.read_text())
    for damaged in ("", "{}", file.read_text()[:50]):
        file.write_text(damaged)
        assert evaluation.cells() == [] and "is damaged" in caplog.text
        evaluation.run(Counted())
        again = json.loads(file.read_text())
        assert again["rows"] == whole["rows"] and again["key"] == whole["key"]


def test_tables_keep_the_order_that_was_asked_for(corpora, tmp_path):
    names = ["zeta", "alpha"]
    evaluation = evaluate(tmp_path, corpora, [PairsOfUtterances()], encoders=names)
    for name in reversed(names):
        evaluation.run(Counted(name=name, context=names.index(name)))
    assert [cell.encoder for cell in evaluation.cells()] == names


def test_other_precision_of_kept_features_is_another_cell(corpora, tmp_path):
    evaluate(tmp_path, corpora, [PairsOfUtterances()]).run(Counted())
    assert evaluate(tmp_path, corpora, [PairsOfUtterances()], dtype=torch.float32).cells() == []


def test_what_failed_in_another_process_is_said_until_it_is_measured(corpora, tmp_path):
    train, test = corpora
    conditions = make_conditions(["gaussian", "lowpass"])

    def process(*failing):
        probe = Failing("gaussian", "lowpass")  # as in its settings, whatever fails this time
        probe.conditions = failing
        probe.settings = lambda: {"seed": 0}
        return Evaluation(tmp_path, test, conditions, [probe], train, progress=False,
                          encoders=["log-mel"])  # fmt: skip

    process("gaussian", "lowpass").run(Counted(), conditions=["gaussian"])
    second = process("gaussian", "lowpass")
    second.run(Counted(), conditions=["lowpass"])
    (sentence,) = second.left_out
    assert "under gaussian at 0 dB, lowpass is left out" in sentence
    third = process("lowpass")
    third.run(Counted(), conditions=["gaussian"])
    (sentence,) = third.left_out
    assert "of log-mel under lowpass is left out" in sentence
    fourth = process()
    fourth.run(Counted())
    assert fourth.left_out == [] and len(fourth.cells()) == 3
    assert list((tmp_path / "failed").iterdir()) == []


def test_a_failure_is_said_of_what_has_no_result(corpora, tmp_path):
    """Not of another seed, not after other weights of that name were measured."""
    train, test = corpora
    probes = [Failing(seed=0), Failing("clean", "gaussian", seed=1)]
    conditions = make_conditions(["gaussian"])
    first = Evaluation(tmp_path, test, conditions, probes, train, progress=False)
    first.run(Counted())
    assert first.left_out == [
        "failing of log-mel (seed 1) is left out: got 3 utterances; expected more: give more "
        "speech."
    ]
    alone = Evaluation(tmp_path / "b", test, conditions, [Failing("clean", "gaussian")], train,
                       progress=False)  # fmt: skip
    alone.run(Counted())
    assert alone.cells() == [] and len(alone.left_out) == 1
    (tmp_path / "b" / "cells").mkdir()
    for cell in first.cells():  # of other weights
        replace(cell, key=cell.key | {"encoder": "other"}).write(tmp_path / "b" / "cells")
    alone._say_failures()
    assert alone.left_out == []
