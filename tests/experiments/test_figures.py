"""Figures of finished evaluations: what was measured is drawn, seeds of one name are averaged."""

import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPTS = Path(__file__).parents[2] / "training_scripts"
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from experiments import figures  # noqa: E402

COLUMNS = ["encoder", "probe", "condition", "snr_db", "layer", "metric", "value", "low", "high",
           "p_value", "reference", "seed"]  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """Two seeds and the encoder before: three layers, two SNRs, and a difference."""
    rows = []
    for place, encoder in enumerate(("before", "seed0", "seed1")):
        for snr in (0.0, 10.0):
            value = 0.5 - 0.1 * place - snr / 100
            rows.append([encoder, "pr", "gaussian", snr, None, "phone_error_rate", value,
                         value - 0.01, value + 0.01, None, None, 0])  # fmt: skip
        for layer in range(3):
            rows.append([encoder, "cka", "gaussian", 0.0, layer, "cka", 0.2 * (layer + place),
                         None, None, None, None, 0])  # fmt: skip
    rows.append(["seed0", "pr", "gaussian", 0.0, None, "phone_error_rate_difference", -0.1, -0.2,
                 0.0, 0.01, "before", 0])  # fmt: skip
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "results.csv", index=False)
    return tmp_path / "results.csv"


def test_equal_names_are_seeds_and_only_what_is_there_is_drawn(
    results, tmp_path, monkeypatch, capsys
):
    names = ["seed0=R-Spin", "seed1=R-Spin", "before=HuBERT"]
    table = figures.read_results([str(results)], names)
    errors = table[table["metric"] == "phone_error_rate"].set_index(["encoder", "snr_db"])["value"]
    assert errors["R-Spin", 10.0] == pytest.approx((0.3 + 0.2) / 2)
    assert list(dict.fromkeys(table["encoder"])) == ["R-Spin", "HuBERT"]
    output = tmp_path / "drawn"
    monkeypatch.setattr(sys, "argv", ["figures", "--results", str(results), "--names", *names,
                                      "--output_dir", str(output)])  # fmt: skip
    figures.main()
    assert capsys.readouterr().out.startswith("figure_2, figure_4 in ")
    assert {file.name for file in output.iterdir()} == {"figure_2.svg", "figure_4.svg"}
    before = [file.read_bytes() for file in sorted(output.iterdir())]
    assert all(b"<svg" in text for text in before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no results were given"),
        (["--results", "FILE", "--names", "gone=R-Spin"], "gone is in none of the results; they"),
        (["--results", "FILE", "--names", "seed0"], "expected encoder=name"),
        (["--results", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_end_with_a_sentence(results, monkeypatch, given, message):
    given = [str(results) if word == "FILE" else word for word in given]
    monkeypatch.setattr(sys, "argv", ["figures", *given])
    with pytest.raises(SystemExit, match=message):
        figures.main()
