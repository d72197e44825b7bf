"""cost.json is read as it was written; the table is Table 5 with one's own runs on top."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from hf_rspin.cost import COST_FILE, RunCost, cost_cells, cost_table
from hf_rspin.cost.published import PUBLISHED
from hf_rspin.cost.table import COLUMNS, TABLE_5
from hf_rspin.evaluation.table import markdown_table

COST = RunCost(
    processed_hours=30.0, updates=1200, wall_seconds=5400.0, device_seconds=10_800.0,
    device="2 x some GPU", device_type="cuda", num_processes=2, peak_memory_bytes=3 << 30,
    peak_gpu_memory_bytes=20 << 30, forward_gflops_per_second_of_speech=13.8,
    energy_joules=7.2e6, energy_method="nvml", init="hubert-base-ls960",
)  # fmt: skip


def test_a_cost_is_read_as_it_was_written(tmp_path):
    for cost in (COST, replace(COST, energy_joules=None, energy_method="none", init=None)):
        assert cost.write(tmp_path) == tmp_path / COST_FILE
        assert RunCost.read(tmp_path) == cost


def test_fields_of_a_later_version_are_left_out(tmp_path):
    content = json.loads(COST.write(tmp_path).read_text()) | {"carbon": 3}
    (tmp_path / COST_FILE).write_text(json.dumps(content))
    assert RunCost.read(tmp_path) == COST


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"updates": 3}', '{"energy_method": "guessed"}'])
def test_a_damaged_file_is_said_to_be(tmp_path, text):
    (tmp_path / COST_FILE).write_text(text)
    with pytest.raises(ValueError, match="cost.json is not what a run writes"):
        RunCost.read(tmp_path)


@pytest.mark.parametrize("joules, method", [(None, "nvml"), (3.0, "none"), (3.0, "guessed")])
def test_energy_has_its_method(joules, method):
    with pytest.raises(ValueError, match="energy_"):
        replace(COST, energy_joules=joules, energy_method=method)


def test_runs_come_before_the_paper_in_its_columns(tmp_path):
    COST.write(tmp_path / "rspin")
    replace(COST, device_type="cpu", device="CPU", updates=0).write(tmp_path / "on cpu")
    table = cost_table([tmp_path / "rspin", tmp_path / "on cpu"])
    assert list(table.columns) == list(COLUMNS) and len(table) == 2 + len(PUBLISHED)
    assert not table.attrs["left_out"]
    first, second, paper = table.iloc[0], table.iloc[1], table.iloc[2:]
    assert list(first[list(TABLE_5)][:-1]) == [
        "rspin", "hubert-base-ls960", 1200, 1.5, 30.0, 2, 3.0
    ]  # fmt: skip
    assert (first["Wall Hours"], first["Energy (kWh)"], first["Peak Memory (GiB)"]) == (1.5, 2, 3)
    assert (second["#GPUs"], second["GPU Hours"]) == (0, 0)
    assert pd.isna(second["Batch Size (minutes)"])
    assert set(paper["Source"]) == {"R-Spin paper (arXiv 2311.09117), Table 5"}
    assert paper.set_index("Model").loc["R-Spin 32, AP40k", "GPU Hours"] == 16


def test_the_rows_of_the_paper_agree_with_themselves():
    """Updates times the batch are the hours, but where the row says that they are not."""
    for row in PUBLISHED:
        if row.batch_minutes is None:
            continue
        hours = row.updates * row.batch_minutes / 60
        assert (abs(hours / row.processed_hours - 1) < 0.05) == (row.remark is None), row.model


def test_folders_without_costs_are_named(tmp_path, caplog):
    COST.write(tmp_path / "run")
    (tmp_path / "old").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / COST_FILE).write_text("{")
    folders = [tmp_path / name for name in ("old", "run", "nowhere", "torn")]
    table = cost_table(folders, with_paper=False)
    assert list(table["Model"]) == ["run"]
    for sentence, name in zip(table.attrs["left_out"], ("old", "nowhere", "torn"), strict=True):
        assert str(tmp_path / name) in sentence and sentence in caplog.text
    assert cost_table([tmp_path / "old"], with_paper=False).empty


def test_runs_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "other"]
    for folder in folders:
        COST.write(folder)
    names = list(cost_table(folders, with_paper=False)["Model"])
    assert names == [str(folders[0]), str(folders[1]), "other"]


def test_the_table_is_readable_as_text(tmp_path):
    COST.write(tmp_path / "run")
    headers, rows = cost_cells(cost_table([tmp_path / "run"]))
    text = markdown_table(headers, rows)
    assert "| run |" in text and "640,000" in text and "6.4" in text and "nan" not in text.lower()
    headers, rows = cost_cells(cost_table([tmp_path / "run"], with_paper=False))
    assert "Remark" not in headers and "Open Model" not in headers and len(rows) == 1
