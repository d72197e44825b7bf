"""What results tell of the training of probes, and of what the evaluation cost."""

from hf_rspin.evaluation.cell_costs import HEADERS, cost_section
from hf_rspin.evaluation.cells import Cell
from hf_rspin.evaluation.probes import Row, layer_rows
from hf_rspin.evaluation.results import few_speakers, write_results
from hf_rspin.evaluation.trained_probes import learned_nothing, search_section


def trained(encoder, dev_error, rate=0.01, search=(), seed=0, probe="pr", **details):
    tried = [
        {"learning_rate": r, "updates": 3, "dev_error": e, "dev_loss": 1.0} for r, e in search
    ]
    found = {"learning_rate": rate, "dev_error": dev_error, "search": tried, **details}
    rows = [Row("phone_error_rate", dev_error)]
    return Cell(encoder, probe, "clean", None, {"settings": {"seed": seed}}, rows, found)


def test_rates_that_were_tried_are_a_table_with_the_chosen_one_marked():
    search = [(0.1, None), (0.01, 0.5), (0.001, 0.75)]
    found = search_section([trained("a", 0.25, search=search), trained("b", 0.5, 0.1)])
    assert found.headers == ["encoder, probe", "learning rate", "dev error", "0.001", "0.01", "0.1"]
    assert found.rows == [
        ["a, pr", "0.01", "25.0", "75.0", "50.0 *", "diverged"],
        ["b, pr", "0.1", "50.0", "–", "–", "– *"],
    ]
    assert "tried by short trainings" in found.caption
    alone = search_section([trained("a", 0.25), trained("a", 0.5, seed=1)])
    assert alone.rows == [["a, pr, seed 0", "0.01", "25.0"], ["a, pr, seed 1", "0.01", "50.0"]]
    assert search_section([Cell("a", "cka", "clean", None, {"settings": {}})]) is None


def test_a_probe_that_learned_nothing_is_named():
    assert learned_nothing([trained("mfcc", 0.94)]) == []
    (said,) = learned_nothing([trained("mfcc", 1.0), trained("mfcc", 0.96, seed=1)])
    assert said.startswith("pr of mfcc learned nothing (dev error 100.0, 96.0 %): give another")
    assert "--learning_rate" in said and "--num_updates" in said
    # of two speakers, every second one is right by chance
    assert learned_nothing([trained("a", 0.5, probe="sid", guessing_error=0.5)])
    assert learned_nothing([trained("a", 0.97, probe="sid", guessing_error=0.99)]) == []


def test_few_speakers_are_told():
    def cell(encoder, probe, speakers):
        details = {"groups": [*speakers, *speakers]}
        return Cell(encoder, probe, "clean", None, {"settings": {}}, [], details)

    def said(speakers, encoders="ab"):
        cells = [cell(name, "pr", speakers) for name in encoders]
        return few_speakers([*cells, *(cell(name, "sid", "abcdefgh") for name in encoders)])

    assert said("a", "a") == [
        "One speaker was heard (pr): intervals and tests need several, and are missing."
    ]
    assert "Speakers were too few for p < 0.05 (pr: 5)" in said("abcde")[0]
    assert said("abcdef") == said("abc", encoders="a") == few_speakers([]) == []


def test_layers_that_know_no_phone_better_than_the_commonest_are_named():
    def cell(values):
        rows = layer_rows("phone_accuracy", values)
        return Cell("a", "linear_phones", "clean", None, {"settings": {}}, rows, {"majority": 0.25})

    assert learned_nothing([cell([0.2, 0.3])]) == []
    (said,) = learned_nothing([cell([0.2, 0.25])])
    assert said.startswith("linear_phones of a learned nothing (in no layer better than the most")


def cost(seconds, hours, **more):
    return {"wall_seconds": seconds, "processed_hours": hours, "device": "cpu",
            "peak_memory_bytes": 2e9, "energy_joules": None, "energy_method": "none", **more}


def test_what_probes_of_a_condition_share_is_counted_once():
    def cell(probe, condition, spent):
        key = {"settings": {}}
        return Cell("a", probe, condition, None, key, about={"cost": spent})

    first, second = cost(10, 0.5, peak_memory_bytes=3e9), cost(5, 0.25)
    first["forward_gflops_per_second_of_speech"] = 1.5
    cells = [cell("pr", "clean", first), cell("sid", "clean", first), cell("pr", "rooms", second)]
    found = cost_section([*cells, Cell("old", "pr", "clean", None, {})])
    assert found.headers == HEADERS
    assert found.rows == [["a", "15", "3.00", "1.50", "0.75", "not measured", "cpu"]]
    measured = cost(10, 1, energy_joules=7200.0, energy_method="rapl")
    assert cost_section([cell("pr", "clean", measured)]).rows[0][5] == "2.00 (rapl)"
    assert cost_section([Cell("old", "pr", "clean", None, {})]) is None


def test_results_begin_with_what_they_are_of_and_what_was_found(tmp_path):
    cells = [trained(name, error, search=[(0.01, 0.5), (0.1, 0.7)]) for name, error in
             (("a", 0.5), ("mfcc", 0.99))]  # fmt: skip
    cells = [Cell(**{**vars(c), "about": {"corpus": "speech", "num_test": 4, "date": "2026-01-01",
             "cost": cost(1, 1), "condition": ""}}) for c in cells]  # fmt: skip
    text = write_results(cells, tmp_path, ["Units are left out."])
    title, caption, heading, sentences, *rest = text.split("\n\n")
    assert title.startswith("# ") and caption.startswith("Corpus speech; 4 test utterances;")
    assert heading == "## Warnings, and what is left out"
    assert sentences.split("\n")[0].startswith("- pr of mfcc learned nothing (dev error 99.0 %)")
    assert sentences.split("\n")[1] == "- Units are left out."
    assert rest[0] == "## Tables" and text.count("The probe was trained on clean speech") == 1
    for table in ("Learning rates of the trained probes", "Cost of this evaluation"):
        assert f"### {table}" in text and table in (tmp_path / "report.html").read_text()
    assert (tmp_path / "results.md").read_text() == text + "\n"
