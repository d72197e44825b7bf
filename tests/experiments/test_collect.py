"""Figures of a grid are gathered over training seeds, as they were measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_rspin.cost.record import RunCost
from hf_rspin.evaluation.cells import Cell, Row
from hf_rspin.utils import write_json

SCRIPTS = Path(__file__).parents[2] / "training_scripts"
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from experiments.collect import CollectArguments, collect, main  # noqa: E402

LENGTHS = [10, 20, 30, 40]
ERRORS = {
    "bundled": [5, 10, 15, 20],
    "rspin-seed0": [4, 8, 12, 16],
    "rspin-seed1": [3, 6, 9, 12],
    "hours-0.25-seed1": [6, 11, 16, 22],
    "log-mel:3": [8, 15, 25, 30],
}


def measured(folder: Path, errors: dict[str, list[int]], probe_seed: int = 0) -> None:
    for encoder, wrong in errors.items():
        rate = sum(wrong) / sum(LENGTHS)
        details = {"ids": list("abcd"), "errors": wrong, "lengths": LENGTHS}
        key = {"encoder": encoder, "settings": {"seed": probe_seed}}
        rows = [Row("phone_error_rate", rate, low=rate - 0.1, high=rate + 0.1)]
        Cell(encoder, "pr", "clean", None, key, rows, details).write(folder / "cells")


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    run = {"seconds": 2.0, "revision": "abc", "device": "CPU", "date": "2026-01-01"}
    for name, seed in (("rspin", 0), ("rspin", 1), ("hours-0.25", 1)):
        place = tmp_path / f"{name}-seed{seed}"
        place.mkdir()
        command = ["train.py", "--corpus", "/somewhere/else/x", "--labels", str(tmp_path / "units")]
        write_json(place / "cell.json", {"name": name, "seed": seed, "command": command, **run})
    RunCost(1.25, 200, 9.0, 9.0, "cpu", "cpu").write(tmp_path / "rspin-seed0")
    measured(tmp_path / "table", ERRORS)
    return tmp_path


def gathered(grid: Path, **options: object) -> dict[str, object]:
    arguments = CollectArguments(str(grid), output_dir=str(grid / "out"), **options)
    files = collect(arguments)
    texts = {file.name: file.read_text() for file in files}
    return {k: json.loads(v) if k.endswith("json") else v for k, v in texts.items()}


def test_training_seeds_are_one_encoder_compared_with_the_reference(grid):
    rows = gathered(grid)["table.json"]
    rates = {(r["encoder"], r["seed"]): r["value"] for r in rows if r["metric"][-4:] == "rate"}
    assert rates == {
        ("bundled", 0): 0.5, ("rspin", 0): 0.4, ("rspin", 1): 0.3, ("hours-0.25", 1): 0.55,
        ("log-mel:3", 0): 0.78,
    }  # fmt: skip
    found = {r["encoder"]: r for r in rows if r["metric"] == "phone_error_rate_difference"}
    assert found["rspin"]["value"] == pytest.approx(0.35 - 0.5)  # mean of both seeds
    assert found["hours-0.25"]["value"] == pytest.approx(0.05)
    assert found["log-mel:3"]["value"] == pytest.approx(0.28)
    assert found["rspin"]["low"] <= -0.15 <= found["rspin"]["high"]


def test_tables_show_mean_and_deviation_and_what_is_missing(grid):
    text = gathered(grid)["table.md"]
    line = next(line for line in text.splitlines() if line.startswith("| rspin"))
    assert f"35.0 ± {100 * np.std([0.4, 0.3], ddof=1):.1f}" in line
    assert "Not finished" in text
    (grid / "table" / "cell.json").write_text(
        json.dumps({"name": "table", "seed": None, "command": ["evaluate.py"]})
    )
    assert "Not finished" not in gathered(grid)["table.md"]


def test_what_was_run_is_told_with_the_hours_of_training(grid):
    cells = {(c["name"], c["seed"]): c for c in gathered(grid)["cells.json"]}
    assert cells["rspin", 0]["hours"] == 1.25 and cells["rspin", 0]["updates"] == 200
    assert "hours" not in cells["rspin", 1] and cells["rspin", 1]["revision"] == "abc"
    assert cells["rspin", 0]["command"] == "train.py --corpus x --labels units"  # no places


def test_cells_of_other_settings_are_not_mixed(grid):
    measured(grid / "table", {"rspin-seed0": [5, 5, 5, 5]}, probe_seed=1)
    with pytest.raises(ValueError, match="rspin-seed0 has 2 cells of pr, clean: of other settings"):
        gathered(grid)


def test_a_trained_encoder_may_be_the_reference(grid):
    rows = gathered(grid, reference="rspin")["table.json"]
    found = {r["encoder"]: r["value"] for r in rows if r["metric"][-10:] == "difference"}
    assert found["hours-0.25"] == pytest.approx(0.55 - 0.3)  # against the same seed
    assert found["bundled"] == pytest.approx(0.5 - 0.35)
    assert [r["encoder"] for r in rows][0] == "rspin"


def test_tables_are_in_the_order_of_the_command(grid):
    names = ["log-mel:3", "bundled", "rspin-seed1", "rspin-seed0"]  # hours was taken out
    places = [name if name in ("log-mel:3", "bundled") else str(grid / name) for name in names]
    command = ["evaluate.py", "--encoders", *places, "--corpus", "x"]
    about = {"name": "table", "seed": None, "command": command}
    (grid / "table" / "cell.json").write_text(json.dumps(about))
    rows = gathered(grid)["table.json"]
    rates = [(r["encoder"], r["seed"]) for r in rows if r["metric"][-4:] == "rate"]
    assert rates == [("bundled", 0), ("log-mel:3", 0), ("rspin", 1), ("rspin", 0)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tables": ["tabel"]}, "has no figures; expected some of table"),
        ({"reference": "base"}, "base was not measured"),
        ({"metrics": ["per"]}, "got --metrics per; expected some of "),
        ({"folder": "nothing"}, "holds no finished cell"),
    ],
)
def test_what_is_not_there_is_named(grid, options, expected):
    arguments = CollectArguments(**{"folder": str(grid), **options}, output_dir=str(grid / "out"))
    with pytest.raises(ValueError, match=expected):
        collect(arguments)
    assert not (grid / "out" / "table.json").exists()


def test_a_mistake_is_one_sentence_and_nothing_is_written(monkeypatch, tmp_path):
    command = ["collect.py", "--folder", tmp_path / "none", "--output_dir", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit, match="none holds no finished cell .* run experiments/run.py"):
        main()
    assert not (tmp_path / "out").exists()
