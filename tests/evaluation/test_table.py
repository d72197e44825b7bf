"""The long table and its excerpts."""

import numpy as np
import pytest

from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.long_table import COLUMNS, METRICS, to_table
from hf_rspin.evaluation.overview import overview
from hf_rspin.evaluation.probes import PROBES, Probe, Row, layer_rows
from hf_rspin.evaluation.summary import boundaries_against_baseline, context, what_changed
from hf_rspin.evaluation.table import layer_summary, markdown_table, sections


def phones(encoder, condition, errors, snr_db=None):
    rate = np.mean(errors) / 10
    return Cell(
        encoder, "phones", condition, snr_db, {"settings": {"seed": 3}},
        [Row("phone_error_rate", rate, None, rate - 0.1, rate + 0.1)],
        {"errors": errors, "lengths": [10] * len(errors)},
    )  # fmt: skip


def layers(encoder, condition, metric, values, snr_db=None):
    return Cell(encoder, "x", condition, snr_db, {"settings": {}}, layer_rows(metric, values))


def test_one_line_per_number():
    table = to_table([
        phones("a", "noise", [3, 3], 0.0), layers("a", "clean", "pnmi", [0.5, 0.25]),
    ])  # fmt: skip
    assert tuple(table.columns) == COLUMNS and len(table) == 3
    assert table["layer"].isna().tolist() == [True, False, False]
    assert table["layer"][1:].tolist() == [0, 1]
    line = table.iloc[0]
    assert (line["metric"], line["snr_db"], line["seed"]) == ("phone_error_rate", 0, 3)
    assert [line["low"], line["value"], line["high"]] == pytest.approx([0.2, 0.3, 0.4])
    assert to_table([]).empty and sections(to_table([])) == []


def test_differences_are_paired_and_refer_to_an_encoder():
    cells = [phones("before", "clean", [3] * 40), phones("before", "noise", [6] * 40),
             phones("after", "clean", [3] * 40), phones("after", "noise", [4] * 40),
             phones("after", "rooms", [4] * 40)]  # fmt: skip
    table = to_table(cells)
    found = table[table["metric"] == "phone_error_rate_difference"]
    assert found[["encoder", "condition", "reference"]].values.tolist() == [
        ["after", "clean", "before"], ["after", "noise", "before"],
    ]  # fmt: skip
    assert found["value"].tolist() == pytest.approx([0, -0.2])
    assert found["p_value"].tolist() == [1, pytest.approx(0.0005)]
    other = to_table(cells, "after")
    assert other[other["metric"] == "phone_error_rate_difference"]["value"].tolist() == (
        pytest.approx([0, 0.2])
    )
    with pytest.raises(ValueError, match="'other' is not among"):
        to_table(cells, "other")


def test_sections_hold_rates_intervals_and_marked_differences():
    cells = [phones("before", "clean", [3] * 40), phones("before", "my_noise", [6] * 40),
             layers("before", "my_noise", "cka_debiased", [0.5, 0.123456]),
             layers("log-mel", "my_noise", "cka_debiased", [0.25]),
             phones("after", "clean", [3] * 40), phones("after", "my_noise", [4] * 40)]  # fmt: skip
    text = "\n\n".join(section.to_markdown() for section in sections(to_table(cells)))
    assert "| encoder | clean | my noise |" in text
    assert "| before | 30.0 [20.0, 40.0] | 60.0 [50.0, 70.0] |" in text
    assert "| after | +0.0 [+0.0, +0.0] | -20.0 [-20.0, -20.0] * |" in text
    assert "| before | my noise | 0.500 | 0.123 |" in text
    assert "| log-mel | my noise | 0.250 | – |" in text
    assert "Speakers:" not in text and "The probe was trained on clean speech only." in text


def test_missing_conditions_are_dashes_and_a_rate_without_interval_stands_alone():
    cells = [phones("a", "clean", [3]), phones("b", "rooms", [4])]
    cells[0] = Cell(**{**vars(cells[0]), "rows": [Row("phone_error_rate", 0.3)]})
    (section,) = sections(to_table(cells))
    assert section.headers == ["encoder", "clean", "rooms"]
    assert section.rows == [["a", "30.0", "–"], ["b", "–", "40.0 [30.0, 50.0]"]]


def test_several_ratios_are_told_apart():
    cells = [phones("a", "noise", [3], 0.0), phones("a", "noise", [2], 10.0),
             phones("a", "rooms", [1])]  # fmt: skip
    assert sections(to_table(cells))[0].headers[1:] == ["noise, 0 dB", "noise, 10 dB", "rooms"]


def test_the_summary_of_layers_shows_each_number_under_its_conditions():
    cells = [
        cell
        for state, shift in (("before", 0.0), ("after", 0.1))
        for cell in (
            layers(state, "noise", "cka_debiased", [0.5, 0.25 + shift]),
            layers(state, "clean", "speaker_accuracy", [1.0, 0.5]),
            layers(state, "noise", "speaker_accuracy", [0.9, 0.4]),
            layers(state, "clean", "pnmi", [0.1, 0.2]),
        )
    ]
    cells.append(layers("MFCC", "clean", "pnmi", [0.15]))
    found = layer_summary(to_table(cells))
    assert found.headers == ["figure", "", "layer 0", "layer 1"]
    assert found.rows == [
        ["CKA, noise", "before", "0.500", "0.250"],
        ["CKA, noise", "after", "0.500", "0.350"],
        ["speaker accuracy, %", "before", "100.0", "50.0"],
        ["speaker accuracy, %", "after", "100.0", "50.0"],
        ["phone information (PNMI)", "before", "0.100", "0.200"],
        ["phone information (PNMI)", "after", "0.100", "0.200"],
        ["phone information (PNMI)", "MFCC", "0.150", ""],
    ]


def test_every_probe_describes_numbers_of_its_own():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for name, probe in PROBES.items():
        assert probe.name == name and probe.__doc__
        assert probe.metrics or probe.draw.__func__ is not Probe.draw.__func__


def test_markdown_layout():
    assert markdown_table(["a", "b"], [["x", 1]]) == "| a | b |\n| :-- | --: |\n| x | 1 |"


def test_the_overview_has_a_column_per_task_and_condition():
    def words(encoder, rate):
        return Cell(encoder, "asr", "clean", None, {"settings": {}}, [Row("word_error_rate", rate)])

    cells = [words("a", 0.5), phones("a", "clean", [3] * 4), phones("a", "noise", [6] * 4, 0.0),
             words("b", 0.25), phones("b", "clean", [4] * 4)]  # fmt: skip
    found = overview(to_table(cells), {"b": 8200.0})
    assert found.headers[2:] == ["PER clean", "PER noise", "WER clean"]
    assert found.rows == [
        ["a", "–", "30.0 *", "60.0 *", "50.0"], ["b", "8,200", "40.0", "–", "25.0 *"],
    ]  # fmt: skip
    alone = overview(to_table(cells[:2]))
    assert alone.rows == [["a", "–", "30.0", "50.0"]] and "least" not in alone.title
    assert overview(to_table([layers("a", "clean", "pnmi", [0.5])])) is None


def speakers(encoder, errors):
    return Cell(encoder, "sid", "clean", None, {"settings": {}},
                [Row("sid_accuracy", 1 - np.mean(errors))],
                {"errors": errors, "lengths": [1] * len(errors)})  # fmt: skip


def test_the_difference_of_an_accuracy_is_one_of_accuracies():
    table = to_table([speakers("a", [1] * 30 + [0] * 10), speakers("b", [0] * 30 + [1] * 10)])
    difference = table[table["metric"] == "sid_accuracy_difference"].iloc[0]
    assert difference["value"] == pytest.approx(0.5) and 0 < difference["low"]
    assert what_changed(table) == []  # whether to know the speaker is better depends on the use


def test_sentences_say_what_the_tests_say_and_of_which_encoder():
    cells = [phones("a", "clean", [3] * 40), phones("a", "noise", [6] * 40),
             phones("b", "clean", [4] * 40), phones("b", "noise", [4] * 40),
             phones("c", "clean", [3] * 40), phones("c", "noise", [6, 4] * 20),
             layers("a", "noise", "cka_debiased", [0.5, 0.7]),
             layers("b", "noise", "cka_debiased", [0.6, 0.8])]  # fmt: skip
    better, worse, *_, equal = what_changed(to_table(cells))
    assert better == (
        "b against a, better: phone error rate, points: noise -20.0; by the best layer of "
        "each, not tested: CKA, distorted: 0.700 (layer 1) to 0.800 (layer 1)."
    )
    assert worse == "b against a, worse: phone error rate, points: clean +10.0."
    assert equal == "c against a, no difference found: phone error rate, points: clean +0.0."
    other = what_changed(to_table(cells, "b"), reference="b")
    assert {text.split(",")[0] for text in other} == {"a against b", "c against b"}
    assert "better: phone error rate, points: clean -10.0" in other[0]


def test_encoders_of_other_depths_are_compared_at_their_best_layers():
    cells = [layers("shallow", "clean", "pnmi", [0.5, 0.6]),
             layers("deep", "clean", "pnmi", [0.1, 0.2, 0.3, 0.9, 0.1]),
             layers("shallow", "clean", "speaker_accuracy", [0.1, 0.1]),
             layers("deep", "clean", "speaker_accuracy", [0.9, 0.9])]  # fmt: skip
    (sentence,) = what_changed(to_table(cells))
    assert "better: by the best layer of each, not tested: phone information (PNMI)" in sentence
    assert "0.600 (layer 1) to 0.900 (layer 3)." in sentence
    assert "speaker" not in sentence  # which way is better depends on the use


def test_boundaries_are_held_against_segments_of_equal_length():
    def cell(name, values, baseline):
        rows = layer_rows("boundary_r_value", values)
        rows += [Row("boundary_r_value_equal_length", baseline)]
        return Cell(name, "segmentation", "clean", None, {"settings": {}}, rows)

    said = boundaries_against_baseline(to_table([cell("a", [0.5, 0.4], 0.6)]))
    assert "no encoder's units are above segments of equal length" in said
    assert "a 50.0 (layer 0) not above 60.0" in said
    both = [cell("a", [0.5, 0.4], 0.6), cell("b", [0.5, np.nan, 0.7], 0.6)]
    said = boundaries_against_baseline(to_table(both))
    assert "the units of b are above" in said and "b 70.0 (layer 2) above 60.0" in said
    assert boundaries_against_baseline(to_table([phones("a", "clean", [3])])) is None


def frames(encoder, condition, errors, lengths=(10,) * 40):
    rows = layer_rows("phone_accuracy", [1 - np.sum(e) / np.sum(lengths) for e in errors])
    details = {"layer_errors": errors, "lengths": list(lengths)}
    return Cell(encoder, "linear_phones", condition, None, {"settings": {"seed": 0}}, rows, details)


def test_accuracies_of_layers_are_tested_at_the_layer_that_is_best_on_clean_speech():
    cells = [frames("a", "clean", [[3] * 40, [2] * 40]), frames("a", "rooms", [[1] * 40, [6] * 40]),
             frames("b", "clean", [[5] * 40, [4] * 40, [1] * 40]),
             frames("b", "rooms", [[0] * 40, [0] * 40, [7] * 40])]  # fmt: skip
    table = to_table(cells)
    found = table[table["metric"] == "phone_accuracy_difference"]
    assert found["value"].tolist() == pytest.approx([0.1, -0.1])  # layers 1 and 2, in rooms too
    assert found["layer"].tolist() == [2, 2] and found["reference"].tolist() == ["a", "a"]
    assert (found["p_value"] < 0.05).all()
    better, worse = what_changed(table)
    assert "better: linear phone accuracy, each at its best layer, points: clean +10.0" in better
    assert "worse: linear phone accuracy, each at its best layer, points: rooms -10.0" in worse
    assert "in the layer that is its best" in "".join(s.to_markdown() for s in sections(table))
    # frames of another rate are other references, which errors alone cannot compare
    other = frames("c", "clean", [[1] * 40], (5,) * 40)
    assert not to_table([cells[0], other])["metric"].str.endswith("_difference").any()
    # without clean speech the best layer is that of the other conditions: 0 and 0 or 1
    found = to_table([cells[1], cells[3]])
    (line,) = found[found["metric"] == "phone_accuracy_difference"].to_dict("records")
    assert line["value"] == pytest.approx(0.1)


def test_few_speakers_show_no_difference():
    def cell(encoder, errors):
        made = phones(encoder, "clean", errors)
        return Cell(**{**vars(made), "details": {**made.details, "groups": list("sssrrr")}})

    table = to_table([cell("a", [6] * 6), cell("b", [2] * 6)])
    difference = table[table["metric"] == "phone_error_rate_difference"].iloc[0]
    assert difference["value"] == pytest.approx(-0.4) and difference["p_value"] == 0.5
    assert "no difference found" in what_changed(table)[0]


def test_captions_say_corpus_utterances_ratio_seeds_encoders_and_date():
    table = to_table([phones("a", "noise", [3] * 4, 0.0), phones("b", "noise", [3] * 4, -5.0)])
    about = {"corpus": "speech", "num_test": 4, "date": "2026-01-01"}
    assert context(about, table) == (
        "Corpus speech; 4 test utterances; SNR -5, 0 dB; one seed; encoders a, b; 2026-01-01."
    )
    made_of = {"noise": "recordings of mine", "lowpass": "below 500 Hz"}
    text = context(about | {"conditions": made_of}, table)
    assert "one seed; noise (recordings of mine); encoders" in text and "lowpass" not in text
