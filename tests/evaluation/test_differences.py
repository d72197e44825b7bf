"""Paired tests: figures of two encoders on the same draws of speakers."""

import json

import numpy as np
import pytest

from hf_rspin.evaluation.cells import Cell, Row
from hf_rspin.evaluation.draws import Draws, difference_of_draws
from hf_rspin.evaluation.long_table import to_table
from hf_rspin.evaluation.measures.bootstrap import (
    Interval,
    bootstrap_interval,
    paired_difference,
)
from hf_rspin.evaluation.measures.error_rates import ErrorCounts
from hf_rspin.evaluation.measures.unit_intervals import unit_intervals
from hf_rspin.evaluation.results import few_speakers
from hf_rspin.evaluation.table import sections

SPEAKERS = [f"s{place // 4}" for place in range(48)]


def counts(seed, share):
    rng = np.random.default_rng(seed)
    lengths = np.random.default_rng(7).integers(20, 60, 48)
    return ErrorCounts(rng.binomial(lengths, share), lengths)


def pair_of(found, names=SPEAKERS):
    return [(found.value, Draws.of_interval(found, names))]


def test_draws_of_rates_compare_as_the_errors_themselves():
    first, second = counts(0, 0.3), counts(1, 0.28)
    direct = paired_difference(first, second, SPEAKERS)
    sides = [pair_of(bootstrap_interval(one, SPEAKERS)) for one in (first, second)]
    found = difference_of_draws(*sides)
    assert found.value == pytest.approx(direct.value)
    np.testing.assert_allclose([found.low, found.high], [direct.low, direct.high], atol=1e-4)
    assert found.p_value == pytest.approx(direct.p_value, abs=0.01)
    assert 0.05 < direct.p_value < 1


def test_a_figure_that_is_no_rate_is_compared_on_the_same_speakers():
    """Units that differ alike for every speaker differ surely, though speakers differ more."""
    rng = np.random.default_rng(0)
    phones = [rng.integers(0, 5, 300) for _ in SPEAKERS]
    hard = np.repeat(rng.uniform(0.2, 0.8, 12), 4)  # frames of a speaker that any units get wrong

    def units(more):
        wrong = [rng.random(300) < share + more for share in hard]
        return [np.where(w, 9, p) for w, p in zip(wrong, phones, strict=True)]

    better, worse = (unit_intervals(phones, units(m), SPEAKERS)["pnmi"] for m in (0.0, 0.05))
    assert better.low < worse.high  # their own intervals overlap
    found = difference_of_draws(pair_of(better), pair_of(worse))
    assert found.high < 0 and found.p_value < 0.01
    assert found.high - found.low < 0.5 * (better.high - better.low)
    none = difference_of_draws(pair_of(better), pair_of(better))
    assert (none.value, none.low, none.high, none.p_value) == (0, 0, 0, 1)


def test_p_is_never_below_what_so_few_speakers_can_tell():
    first, second = counts(0, 0.1), counts(1, 0.9)
    names = [f"s{place // 16}" for place in range(48)]
    sides = [pair_of(bootstrap_interval(one, names), names) for one in (first, second)]
    assert difference_of_draws(*sides).p_value == 0.25


def test_other_speakers_are_not_compared_and_one_has_no_draws():
    found = bootstrap_interval(counts(0, 0.3), SPEAKERS)
    others = [name.replace("s", "t") for name in SPEAKERS]
    assert difference_of_draws(pair_of(found), pair_of(found, others)) is None
    alone = bootstrap_interval(counts(0, 0.3), ["s"] * 48)
    assert Draws.of_interval(alone, ["s"]) is None
    assert Draws.of_interval(Interval(np.nan, np.nan, np.nan, np.ones(3), 2)) is None


def test_draws_without_a_figure_do_not_count():
    draws = np.array([0.2, np.nan, 0.4])
    both = [pair_of(Interval(0.3, 0.2, 0.4, draws + add, 8)) for add in (0, 0.1)]
    found = difference_of_draws(*both)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1), abs=1e-4)
    empty = pair_of(Interval(0.3, 0.2, 0.4, np.full(3, np.nan), 8))
    assert difference_of_draws(empty, empty) is None


def cell(encoder, rows, condition="clean", seed=0, details=None):
    key = {"encoder": encoder, "settings": {"seed": seed}, "test": "t"}
    return Cell(encoder, "units", condition, None, key, rows, details or {})


def information(layers, seed=0):
    """PNMI of each layer, about what is asked for, on draws of twelve speakers."""
    rows = []
    for layer, value in enumerate(layers):
        draws = value + 0.02 * np.random.default_rng(1).standard_normal(400)
        rows.append(Row.of_interval("pnmi", Interval(value, 0, 1, draws, 12), layer, SPEAKERS))
    return rows


def test_each_encoder_is_compared_in_its_best_layer_on_clean_speech():
    cells = [
        cell("a", information([0.1, 0.4, 0.3])), cell("b", information([0.2, 0.3, 0.35, 0.5])),
        cell("a", information([0.1, 0.2, 0.3]), "gaussian"),
        cell("b", information([0.2, 0.3, 0.35, 0.1]), "gaussian"),
    ]  # fmt: skip
    table = to_table(cells)
    table = table[table["metric"] == "pnmi_difference"].set_index("condition")
    assert table.loc["clean", "value"] == pytest.approx(0.1)
    assert table.loc["gaussian", "value"] == pytest.approx(-0.1)  # 0.1 - 0.2: layers of clean
    assert table["layer"].tolist() == [3, 3] and table["reference"].tolist() == ["a", "a"]
    assert (table["p_value"] < 0.05).all()  # the draws go up and down together


def test_without_clean_speech_the_best_layer_is_that_of_all_conditions():
    cells = [cell("a", information([0.1, 0.4]), "gaussian"),
             cell("b", information([0.5, 0.2]), "gaussian")]  # fmt: skip
    table = to_table(cells)
    (line,) = table[table["metric"] == "pnmi_difference"].to_dict("records")
    assert line["value"] == pytest.approx(0.1) and line["layer"] == 0


def test_a_figure_without_a_direction_is_compared_where_another_is_best():
    agreement = Interval(0.5, 0.4, 0.6, np.linspace(0.4, 0.6, 50), 12)
    other = Interval(0.7, 0.6, 0.8, np.linspace(0.6, 0.8, 50), 12)
    cells = [
        cell("a", information([0.1, 0.4])),
        cell("b", information([0.5, 0.2])),
        cell("a", [Row.of_interval("unit_agreement", agreement, k, SPEAKERS) for k in (0, 1)],
             "gaussian"),
        cell("b", [Row.of_interval("unit_agreement", other, k, SPEAKERS) for k in (0, 1)],
             "gaussian"),
    ]  # fmt: skip
    table = to_table(cells)
    (line,) = table[table["metric"] == "unit_agreement_difference"].to_dict("records")
    assert line["layer"] == 0 and line["value"] == pytest.approx(0.2)
    (line,) = to_table(cells[2:]).query("metric == 'unit_agreement_difference'").to_dict("records")
    assert line["layer"] == 1  # no PNMI: the last


def test_few_speakers_of_draws_are_told_and_the_caption_speaks_of_pairs_that_are_there():
    few = [cell(name, [Row.of_interval("pnmi", Interval(0.3, 0, 1, np.full(9, 0.3), 4), 0, "abcd")])
           for name in "abc"]  # fmt: skip
    (said,) = few_speakers(few)
    assert "Speakers were too few for p < 0.05 (units: 4)" in said
    for reference, is_there in ((None, True), ("a", False)):
        found = sections(to_table(few, reference))
        (section,) = [one for one in found if "difference" in one.title]
        assert ("Every other pair of encoders is in results.csv" in section.caption) is is_there
        assert "points" not in section.title and section.rows[0][1].startswith("+0.000")


def test_seeds_that_disagree_show_no_difference():
    sides = [[(value, Draws.of_interval(Interval(value, 0, 1, value + np.zeros(100), 12)))
              for value in values] for values in ([0.5, 0.5], [0.6, 0.45])]  # fmt: skip
    found = difference_of_draws(*sides)
    assert found.value == pytest.approx(0.025) and found.p_value == 1


def test_a_file_keeps_the_draws(tmp_path):
    before = cell("a", [*information([0.3]), Row("units_used", 3.0, 0)])
    before.write(tmp_path)
    (file,) = tmp_path.iterdir()
    assert Cell.read(file) == before
    rows = json.loads(file.read_text())["rows"]
    assert rows[0]["draws"]["units"] == 12 and "draws" not in rows[1]
    # a file of an earlier version has none
    content = json.loads(file.read_text())
    del content["rows"][0]["draws"]
    file.write_text(json.dumps(content))
    assert Cell.read(file).rows[0].draws is None


def test_errors_are_compared_once():
    found = bootstrap_interval(counts(0, 0.3), SPEAKERS)
    details = {"errors": counts(0, 0.3).errors.tolist(), "lengths": counts(0, 0.3).lengths.tolist(),
               "groups": SPEAKERS}  # fmt: skip
    rows = [Row.of_interval(name, found, None, SPEAKERS)
            for name in ("word_error_rate", "character_error_rate")]  # fmt: skip
    table = to_table([cell(name, rows, details=details) for name in "ab"])
    names = table["metric"].tolist()
    assert names.count("word_error_rate_difference") == 1
    assert names.count("character_error_rate_difference") == 1
