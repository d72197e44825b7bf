"""The efficiency benchmark: rows can be built, claims are judged by the numbers, tables whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[1] / "training_scripts"
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from benchmarks.efficiency import EfficiencyArguments, main, verdicts  # noqa: E402
from benchmarks.efficiency_rows import ROWS  # noqa: E402

from hf_rspin.models import RSpinModel  # noqa: E402


def numbers(**changes):
    same = {"parameters": 100, "forward_s": 1.0, "training_s": 4.0, "training_gb": 8.0}
    return same | changes


def test_claims_are_judged_by_what_was_measured():
    found = {
        "hubert": numbers(),
        "distilhubert": numbers(parameters=25, forward_s=0.5),
        "sew-d": numbers(forward_s=1.5),
        "read": numbers(training_gb=7.0),
    }
    told = {claim: verdict for claim, _, verdict in verdicts(found)}
    assert told == {
        "DistilHuBERT: 75 % smaller": "reached",
        "DistilHuBERT: 73 % less time": "in part",
        "SEW-D: 2 to 3 times as fast": "the contrary",
        "READ: 56 % less memory": "not here",
    }
    assert ["DistilHuBERT: 75 % smaller", "-75 % parameters", "reached"] in verdicts(found)
    assert verdicts({"distilhubert": numbers()}) == []  # nothing to compare with


PARAMETERS = {"hubert": 94_371_712, "distilhubert": 23_491_968, "mr-hubert": 96_740_224}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_an_encoder_that_trains(name):
    with torch.device("meta"):
        config = RSpinModel.with_fields(ROWS[name].config())
        encoder = RSpinModel(config).base_model
    assert encoder.num_parameters() > 1e7
    assert encoder.num_parameters() == PARAMETERS.get(name, encoder.num_parameters())


def test_a_folder_is_measured_and_written(tmp_path, monkeypatch, capsys):
    results = tmp_path / "results.csv"
    results.write_text(
        "encoder,condition,layer,metric,value\n"
        "mine,clean,,phone_error_rate,0.5\nmine,clean,1,pnmi,0.3\nmine,clean,2,pnmi,0.4\n"
        "mine,gaussian,2,pnmi,0.9\n"
    )
    options = ["--rows", "none", "--folders", "bundled", "--names", "mine"]
    options += ["--trains", "lora", "--utterances", "1", "--seconds", "0.5"]
    options += ["--repeats", "1", "--results", results, "--output_dir", tmp_path]
    script = SCRIPTS / "benchmark.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, options)])
    main()
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("| mine")]
    assert line.split("|")[-3:-1] == [" 50.0 ", " 0.400 "]
    rows = json.loads((tmp_path / "efficiency.json").read_text())["rows"]
    assert list(rows) == ["folder: mine"]  # not the row of base size
    written = rows["folder: mine"]
    assert written["parameters"] == 5_678_656 and written["forward_gb"] > 0
    assert 0 < 5 * written["trained"] < written["parameters"]
    assert 0 < written["forward_s"] < written["training_s"]


def test_unknown_rows_are_refused():
    with pytest.raises(ValueError, match="rows are .'hubart'.; expected some of hubert"):
        EfficiencyArguments(rows=["hubart"])
    with pytest.raises(ValueError, match="nowhere.csv is no file; expected results.csv"):
        EfficiencyArguments(results="nowhere.csv")
    with pytest.raises(ValueError, match="got 1 trains for 2 folders"):
        EfficiencyArguments(folders=["a", "b"], trains=["lora"])
    with pytest.raises(ValueError, match="trains are .'adapter'.; expected some of full, top2"):
        EfficiencyArguments(folders=["a"], trains=["adapter"])
