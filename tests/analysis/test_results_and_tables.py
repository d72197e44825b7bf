import json

import pytest

from hf_rspin.analysis.results import ConditionResult, ResultsFile, short_names
from hf_rspin.analysis.tables import comparison_sections, comparison_tables, markdown_table


def make_result(errors, **fields):
    return ConditionResult(1.0, 2.0, errors, [10] * len(errors), **fields)


def make_results(path, settings=None):
    results = ResultsFile(path, settings or {"seed": 0})
    for name in ("before", "after"):
        results.start_encoder(name, f"{name} weights")
    return results


def test_what_was_written_is_found_again(tmp_path):
    path = tmp_path / "deep" / "results.json"
    result = make_result([1, 2], cka=[0.5, 0.25], speaker_accuracy=[1.0, 0.5])
    make_results(path).add("before", "clean", result)
    again = make_results(path)
    assert again.has("before", "clean") and not again.has("after", "clean")
    assert again.conditions("before") == {"clean": result}
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_other_weights_under_a_name_and_other_settings_stop(tmp_path):
    path = tmp_path / "results.json"
    make_results(path).add("before", "clean", make_result([1]))
    again = ResultsFile(path, {"seed": 0})
    with pytest.raises(ValueError, match="'before' with other weights.*--names"):
        again.start_encoder("before", "new weights")
    again.check_encoder("new", "new weights")
    assert "new" not in again.encoders()
    again.start_encoder("before", "before weights")
    assert again.has("before", "clean")
    with pytest.raises(ValueError, match="other settings"):
        make_results(path, {"seed": 1})


def test_default_names_tell_folders_of_the_same_name_apart():
    assert short_names(["runs/a", "log-mel:3", "owner/model"]) == ["a", "log-mel:3", "model"]
    assert short_names(["/runs/a/model", "runs/b/model/"]) == ["a-model", "b-model"]
    assert short_names(["model", "../x/model"]) == ["model", "x-model"]
    assert short_names([]) == []
    with pytest.raises(ValueError, match="twice"):
        short_names(["runs/a", "runs/a"])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    results = make_results(path)
    results.add("before", "clean", make_result([1]))
    with pytest.raises(TypeError):
        results.add("before", "rooms", make_result([object()]))
    assert list(json.loads(path.read_text())["encoders"]["before"]["conditions"]) == ["clean"]


def test_tables_hold_rates_intervals_and_marked_differences(tmp_path):
    results = make_results(tmp_path / "results.json")
    results.add("before", "clean", make_result([3] * 40))
    results.add("before", "noise", make_result([6] * 40, cka_debiased=[0.5, 0.123456]))
    results.add("after", "clean", make_result([3] * 40))
    results.add("after", "noise", make_result([4] * 40))
    text = comparison_tables(results)
    assert "| before | 30.0 [30.0, 30.0] | 60.0 [60.0, 60.0] |" in text
    assert "| after | +0.0 [+0.0, +0.0] | -20.0 [-20.0, -20.0] * |" in text
    assert "| before, noise | 0.500 | 0.123 |" in text
    assert "Speaker" not in text
    with pytest.raises(ValueError, match="'other' is not among"):
        comparison_tables(results, "other")


def test_missing_conditions_are_dashes_and_unmeasured_tables_are_left_out(tmp_path):
    results = make_results(tmp_path / "results.json")
    results.add("before", "clean", make_result([3]))
    results.add("after", "rooms", ConditionResult(1.0, 2.0, speaker_accuracy=[0.5]))
    per, speakers, elapsed = comparison_sections(results)
    assert per.headers == ["encoder", "clean", "rooms"]
    assert [row[-1] for row in per.rows] == ["–"]
    assert speakers.rows == [["after, rooms", "50.0"]]
    assert elapsed.rows[1][1:] == ["–", "–", "–", "–", "1"]


def test_markdown_layout():
    assert markdown_table(["a", "b"], [["x", 1]]) == "| a | b |\n| :-- | --: |\n| x | 1 |"
