"""Paired tests: figures of two encoders on the same draws of speakers."""

import json
from dataclasses import replace

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
from hf_rspin.evaluation.probes import UnitProbe
from hf_rspin.evaluation.results import (
    few_speakers,
    uneven_seeds,
    unusual_settings,
    write_results,
)
from hf_rspin.evaluation.summary import what_changed
from hf_rspin.evaluation.table import sections

SPEAKERS = [f"s{place // 4}" for place in range(48)]


def counts(seed, share):
    rng = np.random.default_rng(seed)
    lengths = np.random.default_rng(7).integers(20, 60, 48)
    return ErrorCounts(rng.binomial(lengths, share), lengths)


def pair_of(found):
    return [(found.value, Draws.of_interval(found))]


def interval(value, draws, units=12, of="twelve"):
    return Interval(value, 0, 1, np.asarray(draws, dtype=float), units, of)


def test_draws_of_rates_compare_as_the_errors_themselves():
    first, second = counts(0, 0.3), counts(1, 0.28)
    direct = paired_difference(first, second, SPEAKERS)
    sides = [pair_of(bootstrap_interval(one, SPEAKERS)) for one in (first, second)]
    found = difference_of_draws(*sides)
    assert found.value == pytest.approx(direct.value)
    # of 1,000 draws and of 2,000
    np.testing.assert_allclose([found.low, found.high], [direct.low, direct.high], atol=3e-3)
    assert found.p_value == pytest.approx(direct.p_value, abs=0.03)
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
    sides = [pair_of(bootstrap_interval(one, names)) for one in (first, second)]
    assert difference_of_draws(*sides).p_value == 0.25


def test_other_speakers_are_not_compared_and_one_has_no_draws():
    found = bootstrap_interval(counts(0, 0.3), SPEAKERS)
    others = bootstrap_interval(counts(0, 0.3), [name.replace("s", "t") for name in SPEAKERS])
    assert difference_of_draws(pair_of(found), pair_of(others)) is None
    seeded = bootstrap_interval(counts(0, 0.3), SPEAKERS, seed=1)
    assert difference_of_draws(pair_of(found), pair_of(seeded)) is None
    silent = [ErrorCounts(counts(0, 0.3).errors * kept, counts(0, 0.3).lengths * kept)
              for kept in (np.arange(48) >= 4, np.arange(48) < 44)]  # as many, but not the same
    assert difference_of_draws(*(pair_of(bootstrap_interval(s, SPEAKERS)) for s in silent)) is None
    alone = bootstrap_interval(counts(0, 0.3), ["s"] * 48)
    assert Draws.of_interval(alone) is None
    assert Draws.of_interval(Interval(np.nan, np.nan, np.nan, np.ones(3), 2)) is None


def test_draws_that_are_equal_stay_so():
    """One answer more that is right, of twelve speakers: drawn by two thirds, sure of nothing."""
    lengths = np.ones(36, dtype=int)
    first = np.zeros(36, dtype=int)
    first[::5] = 1
    second = first.copy()
    second[3] = 1
    speakers = [f"s{place // 3}" for place in range(36)]
    both = [ErrorCounts(one, lengths) for one in (first, second)]
    direct = paired_difference(*both, speakers)
    found = difference_of_draws(*(pair_of(bootstrap_interval(one, speakers)) for one in both))
    assert found.p_value == pytest.approx(direct.p_value, abs=0.05) and found.p_value > 0.5
    assert found.low == 0
    # of seeds too: their mean rounds
    seeds = [[pair_of(bootstrap_interval(one, speakers))[0]] * 3 for one in both]
    assert difference_of_draws(*seeds).p_value == found.p_value


def test_information_of_other_numbers_of_frames_is_not_compared():
    """It grows where frames are few: the encoder of fewer frames would seem the better one."""
    rng = np.random.default_rng(0)
    phones = [rng.integers(0, 40, 200) for _ in SPEAKERS]
    units = [np.where(rng.random(200) < 0.5, p, rng.integers(0, 200, 200)) for p in phones]
    full = unit_intervals(phones, units, SPEAKERS)["pnmi"]
    half = unit_intervals([p[::2] for p in phones], [u[::2] for u in units], SPEAKERS)["pnmi"]
    assert half.value > full.value + 0.01
    assert difference_of_draws(pair_of(full), pair_of(half)) is None


def test_draws_without_a_figure_do_not_count():
    draws = np.array([0.2, np.nan, 0.4])
    both = [pair_of(interval(0.3, draws + add)) for add in (0, 0.1)]
    found = difference_of_draws(*both)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1), abs=1e-4)
    empty = pair_of(interval(0.3, np.full(3, np.nan)))
    assert difference_of_draws(empty, empty) is None


def cell(encoder, rows, condition="clean", seed=0, details=None):
    key = {"encoder": encoder, "settings": {"seed": seed}, "test": "t"}
    return Cell(encoder, "units", condition, None, key, rows, details or {})


def information(layers, seed=0):
    """PNMI of each layer, about what is asked for, on draws of twelve speakers."""
    rows = []
    for layer, value in enumerate(layers):
        draws = value + 0.02 * np.random.default_rng(1).standard_normal(400)
        rows.append(Row.of_interval("pnmi", interval(value, draws), layer))
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
    agreement = interval(0.5, np.linspace(0.4, 0.6, 50))
    other = interval(0.7, np.linspace(0.6, 0.8, 50))
    cells = [
        cell("a", information([0.1, 0.4])),
        cell("b", information([0.5, 0.2])),
        cell("a", [Row.of_interval("unit_agreement", agreement, k) for k in (0, 1)], "gaussian"),
        cell("b", [Row.of_interval("unit_agreement", other, k) for k in (0, 1)], "gaussian"),
    ]  # fmt: skip
    table = to_table(cells)
    (line,) = table[table["metric"] == "unit_agreement_difference"].to_dict("records")
    assert line["layer"] == 0 and line["value"] == pytest.approx(0.2)
    (line,) = to_table(cells[2:]).query("metric == 'unit_agreement_difference'").to_dict("records")
    assert line["layer"] == 1  # no PNMI: the last


def test_few_speakers_of_draws_are_told_and_the_caption_speaks_of_pairs_that_are_there():
    row = Row.of_interval("pnmi", interval(0.3, np.full(9, 0.3), 4), 0)
    few = [cell(name, [row]) for name in "abc"]
    (said,) = few_speakers(few)
    assert "Speakers were too few for p < 0.05 (units: 4)" in said
    for reference, is_there in ((None, True), ("a", False)):
        found = sections(to_table(few, reference))
        (section,) = [one for one in found if "difference" in one.title]
        assert ("Every other pair of encoders is in results.csv" in section.caption) is is_there
        assert "points" not in section.title and section.rows[0][1].startswith("+0.000 [")


def test_seeds_that_disagree_show_no_difference():
    sides = [
        [(value, Draws.of_interval(interval(value, np.full(100, value)))) for value in values]
        for values in ([0.5, 0.5], [0.6, 0.45])
    ]
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
    rows = [Row.of_interval(name, found)
            for name in ("word_error_rate", "character_error_rate")]  # fmt: skip
    table = to_table([cell(name, rows, details=details) for name in "ab"])
    names = table["metric"].tolist()
    assert names.count("word_error_rate_difference") == 1
    assert names.count("character_error_rate_difference") == 1


def frames(encoder, errors, draws=True):
    """Linear phone accuracy of two layers, with draws or as an earlier version left it."""
    lengths = np.full(48, 10)
    found = [bootstrap_interval(ErrorCounts(lengths - one, lengths), SPEAKERS) for one in errors]
    rows = [Row.of_interval("phone_accuracy", one, k) for k, one in enumerate(found)]
    rows = rows if draws else [replace(row, draws=None) for row in rows]
    details = {"layer_errors": np.array(errors).tolist(), "lengths": lengths.tolist(),
               "groups": SPEAKERS}  # fmt: skip
    key = {"encoder": encoder, "settings": {"seed": 0}, "test": "t"}
    return Cell(encoder, "linear_phones", "clean", None, key, rows, details)


@pytest.mark.parametrize("draws", [(True, True), (True, False), (False, True), (False, False)])
def test_cells_of_an_earlier_version_are_compared_in_errors(draws):
    rng = np.random.default_rng(0)
    errors = [[rng.integers(0, 3, 48), rng.integers(2, 6, 48)] for _ in "ab"]
    errors[1][0] += 1
    cells = [frames(name, of, some) for name, of, some in zip("ab", errors, draws, strict=True)]
    table = to_table(cells)
    (line,) = table[table["metric"] == "phone_accuracy_difference"].to_dict("records")
    wanted = -(errors[1][0].sum() - errors[0][0].sum()) / 480
    assert line["value"] == pytest.approx(wanted) and line["p_value"] < 0.01


def test_seeds_of_an_earlier_version_beside_new_ones_give_one_line():
    rng = np.random.default_rng(0)
    errors = {name: [rng.integers(0, 3, 48), rng.integers(2, 6, 48)] for name in "ab"}
    cells = [
        replace(cell, key=cell.key | {"settings": {"seed": seed}})
        for seed, draws in ((0, False), (1, True))
        for cell in (frames(name, errors[name], draws) for name in "ab")
    ]
    table = to_table(cells)
    assert (table["metric"] == "phone_accuracy_difference").sum() == 1


def test_what_was_measured_without_a_test_is_still_said():
    old = [replace(row, draws=None) for row in information([0.3])]
    cells = [cell("a", old), cell("a", information([0.3]), "gaussian"),
             cell("b", information([0.5])), cell("b", information([0.2]), "gaussian")]  # fmt: skip
    better, worse = what_changed(to_table(cells))
    assert "not tested: phone information (PNMI), clean: 0.300" in better
    assert "PNMI), each at its best layer: gaussian -0.100" in worse


def test_seeds_that_only_one_of_them_has_are_told():
    cells = [cell("a", information([0.3])), cell("b", information([0.5])),
             cell("b", information([0.4]), seed=1)]  # fmt: skip
    assert uneven_seeds(cells)[0].startswith("Encoders were measured with different seeds (units)")
    assert uneven_seeds(cells[:2]) == []
    (line,) = to_table(cells).query("metric == 'pnmi_difference'").to_dict("records")
    assert line["value"] == pytest.approx(0.2)


def test_other_settings_are_not_compared():
    cells = [cell("a", information([0.3])), cell("b", information([0.5]))]
    cells[1].key["settings"]["num_units"] = 500
    assert to_table(cells).query("metric == 'pnmi_difference'").empty


def test_a_reference_that_is_not_measured_yet_stops_nothing(tmp_path):
    cells = [cell(name, information([0.3])) for name in "ab"]
    write_results(cells, tmp_path, reference="c")
    text = (tmp_path / "results.md").read_text()
    assert "c has no result yet: every pair of encoders is compared." in text
    assert "difference to a" in text


def test_settings_that_are_not_the_usual_ones_are_told():
    cells = [cell("a", information([0.3]))]
    usual = UnitProbe().settings()
    cells[0].key["settings"].update(usual)
    assert unusual_settings(cells) == []
    cells[0].key["settings"] |= {"num_units": 500, "standardize": True}
    (said,) = unusual_settings(cells)
    assert said == "Settings of probes: units: num units 500, standardize True."
