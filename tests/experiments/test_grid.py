"""Grids expand into cells, run once, survive kills and failures, and divide into shards."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "training_scripts"
sys.path.append(str(SCRIPTS))  # behind: evaluate.py has the name of a library

from experiments.grid import expand, read_grid  # noqa: E402
from experiments.run import main  # noqa: E402

# writes what it was told, and fails where its folder holds a file `break`
STEP = textwrap.dedent(
    """
    import argparse, json, pathlib, sys
    parser = argparse.ArgumentParser()
    for name in ("--output_dir", "--seed", "--read", "--rate"):
        parser.add_argument(name, nargs="*")
    given = vars(parser.parse_args())
    folder = pathlib.Path(given["output_dir"][0])
    if (folder / "break").exists():
        sys.exit("broken")
    given["runs"] = 1 + len(list(folder.glob("out*.json")))
    (folder / f"out{given['runs']}.json").write_text(json.dumps(given))
    """
)
GRID = """
seeds: [0, 1]
cells:
  second:
    needs: [first]
    command: {step} --read {{first}}
  first:
    seeds: [0]
    command: {step}
  varied:
    like: second
    vary: {{option: rate, values: [0.5, 1]}}
    seeds: [1]
  table:
    needs: [second]
    seeds: none
    command: {step} --read {{second}} {{corpus}}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "grid.yaml").write_text(GRID.format(step=tmp_path / "step.py"))
    return tmp_path / "grid.yaml"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the script in this process; return how it ended, "" where well, and what it printed."""

    def run(grid: Path, *options: object) -> tuple[str, str]:
        command = ["run.py", grid, "--set", "corpus=speech", "--folder", grid.parent / "out"]
        monkeypatch.setattr(sys, "argv", list(map(str, [*command, *options])))
        ended = ""
        try:
            main()
        except SystemExit as error:
            ended = str(error.code)
        return ended, capsys.readouterr().out

    return run


def outputs(grid: Path) -> dict[str, dict]:
    files = (grid.parent / "out").glob("*/out1.json")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def test_cells_come_after_what_they_need_and_fill_in_folders(grid):
    cells = expand(read_grid(grid), grid.parent / "out", {"corpus": "speech"})
    names = [cell.folder.name for cell in cells]
    assert names == [
        "first-seed0", "second-seed0", "second-seed1", "varied-0.5-seed1", "varied-1-seed1",
        "table",
    ]  # fmt: skip
    by_name = {cell.folder.name: cell for cell in cells}
    # the one seed of what is needed serves all; without a seed, all seeds are named
    assert by_name["second-seed1"].command[-1].endswith("first-seed0")
    assert [Path(word).name for word in by_name["table"].command[-3:]] == [
        "second-seed0", "second-seed1", "speech",
    ]  # fmt: skip
    assert by_name["varied-0.5-seed1"].command[-2:] == ("--rate", "0.5")


def test_one_seed_is_a_first_look(grid, run):
    assert run(grid, "--seeds", "7")[0] == ""
    found = outputs(grid)
    assert set(found) == {
        "first-seed7", "second-seed7", "varied-0.5-seed7", "varied-1-seed7", "table",
    }  # fmt: skip
    assert found["second-seed7"]["seed"] == ["7"] and found["table"]["seed"] is None
    assert [Path(word).name for word in found["table"]["read"]] == ["second-seed7", "speech"]
    # all seeds of a trained cell go on beside it; the table of one seed is not that of three
    assert run(grid, "--only", "second", "--seeds", 7, 8)[0] == ""
    assert "holds what another command made" in run(grid, "--seeds", 7, 8)[0]
    assert "[7, 7]; expected different whole numbers" in run(grid, "--seeds", 7, 7)[0]


def test_everything_runs_once(grid, run):
    assert run(grid)[0] == ""
    found = outputs(grid)
    assert len(found) == 6
    assert found["second-seed1"]["seed"] == ["1"]
    about = json.loads((grid.parent / "out" / "varied-1-seed1" / "cell.json").read_text())
    assert about["seed"] == 1 and about["revision"] and about["seconds"] >= 0
    assert "6 cells, 6 finished" in run(grid)[1]
    assert not list((grid.parent / "out").glob("*/out2.json"))


def test_a_failed_cell_stops_what_needs_it_and_is_tried_again(grid, run):
    broken = grid.parent / "out" / "second-seed0" / "break"
    broken.parent.mkdir(parents=True)
    broken.touch()
    ended, _ = run(grid)
    assert "second failed" in ended and "table failed" in ended
    assert set(outputs(grid)) == {
        "first-seed0", "second-seed1", "varied-0.5-seed1", "varied-1-seed1",
    }  # fmt: skip
    broken.unlink()
    assert run(grid)[0] == ""
    assert len(outputs(grid)) == 6


def test_two_shards_wait_for_each_other(grid):
    command = [sys.executable, SCRIPTS / "experiments" / "run.py", grid, "--set", "corpus=speech"]
    command += ["--folder", grid.parent / "out", "--num_shards", 2]
    both = [subprocess.Popen([*map(str, command), "--shard", str(i)]) for i in range(2)]
    assert [one.wait(timeout=300) for one in both] == [0, 0]
    assert len(outputs(grid)) == 6
    assert not list((grid.parent / "out").glob("*/out2.json"))


def test_a_damaged_record_is_named(grid, run):
    record = grid.parent / "out" / "first-seed0" / "cell.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"command": [')
    assert f"{record} is damaged" in run(grid)[0]


def test_two_processes_with_one_shard_run_every_cell_once(grid):
    command = [sys.executable, SCRIPTS / "experiments" / "run.py", grid, "--set", "corpus=speech"]
    command += ["--folder", grid.parent / "out"]
    both = [subprocess.Popen(list(map(str, command))) for _ in range(2)]
    assert [one.wait(timeout=300) for one in both] == [0, 0]
    assert len(outputs(grid)) == 6
    assert not list((grid.parent / "out").glob("*/out2.json"))


def test_another_command_in_a_finished_folder_is_refused(grid, run):
    assert run(grid, "--only", "first")[0] == ""
    other = "seeds: [0]\n    options: --rate 3\n    command: "
    grid.write_text(grid.read_text().replace("seeds: [0]\n    command: ", other))
    assert "another command" in run(grid, "--only", "first")[0]


@pytest.mark.parametrize(
    ("name", "ran"),
    [
        ("varied", {"first-seed0", "varied-0.5-seed1", "varied-1-seed1"}),
        ("varied-0.5", {"first-seed0", "varied-0.5-seed1"}),
        ("second-seed1", {"first-seed0", "second-seed1"}),
    ],
)
def test_a_cell_is_chosen_by_what_is_varied_or_its_seed(grid, run, name, ran):
    assert run(grid, "--only", name)[0] == ""
    assert set(outputs(grid)) == ran
    assert "--only names varied-3; expected some of" in run(grid, "--only", "varied-3")[0]


def test_a_chosen_cell_needs_no_values_for_others(grid, run):
    grid.write_text(f"{grid.read_text().rstrip()}\n  other: {{like: first, options: '{{twin}}'}}\n")
    assert run(grid, "--only", "second-seed1")[0] == ""
    assert set(outputs(grid)) == {"first-seed0", "second-seed1"}
    assert "speaks of {twin}" in run(grid, "--only", "other")[0]


def test_without_a_value_the_cells_that_speak_of_it_are_left_out_and_named(grid, run):
    more = "other: {like: first, options: '{twin}'}\n  last: {like: first, needs: [other]}"
    grid.write_text(f"{grid.read_text().rstrip()}\n  {more}\n")
    ended, said = run(grid, "--dry_run", "true")
    assert ended == "" and "Left out, as --set gives no twin: other, last." in said
    assert "6 cells, 0 finished" in said
    assert "--set corpus=speech is no folder or file here" in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("needs: [first]", "needs: [nothing]"), "second needs nothing"),
        (("vary:", "varies:"), "unknown fields varies"),
        (("needs: [first]", "needs: first"), "cell second of"),
        (("seeds: [0, 1]", "seeds: [0, 0]"), "seeds [0, 0]; expected different whole numbers"),
        (("seeds: [1]", "seeds: 3"), "seeds 3; expected"),
        (("  second:", "  ../out:"), "has no name for a folder"),
        (("values: [0.5, 1]", "values: [a/b]"), "parts of names of folders"),
        (("option: rate, ", ""), "expected an `option`"),
        (("{second} {corpus}", "{second} {corpus"), "cell table has '{corpus' in its command"),
        (("cells:", "cells: {}\nothers:"), "has no cells"),
        (("needs: [second]", "needs: [second"), "is no YAML"),
        (("step.py --read {first}", "stop.py --read {first}"), "expected a script of"),
    ],
)
def test_wrong_grids_are_refused(grid, run, change, expected):
    grid.write_text(grid.read_text().replace(*change))
    assert expected in run(grid, "--dry_run", "true")[0]


@pytest.mark.parametrize("name", ["small.yaml", "efficiency.yaml"])
def test_the_grids_of_the_cards_can_be_filled_in(name):
    grid = read_grid(SCRIPTS / "experiments" / name)
    cells = expand(grid, Path("g"), {"corpus": "c", "noise": "n", "rooms": "r", "twin": "t"})
    assert len({cell.folder for cell in cells}) == len(cells) > 10
    assert all((SCRIPTS / cell.command[0]).is_file() for cell in cells)
    ready = set()
    for cell in cells:
        assert set(cell.needs) <= ready, cell.name
        ready.add(cell.folder)
