"""`train.py`: every objective by its name, and a help that does not import torch."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from hf_rspin.adapter_options import AdapterOptions
from hf_rspin.adapters import AdapterArguments, add_lora
from hf_rspin.commands import train
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.training.model_arguments import RSpinArguments

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "training_scripts"
ALIASES = {
    "train_spin": "spin", "train_rspin": "rspin", "train_laser": "laser", "finetune_ctc": "ctc",
    "pretrain_hubert": "masked_prediction",
}  # fmt: skip
CODE = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
for argv in ([name + ".py", "--help"] for name in sys.argv[2:]):
    sys.argv = argv
    try:
        runpy.run_path(sys.path[0] + "/" + argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code
heavy = {"torch", "transformers", "peft", "datasets", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_of_every_script_imports_no_heavy_library():
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(SCRIPTS), *ALIASES],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for objective in ALIASES.values():
        assert f"hf-rspin train --objective {objective} " in done.stdout
    assert done.stdout.count("--output_dir") >= len(ALIASES)


def test_objectives_are_chosen_by_name():
    assert train.take_objective(["a.yaml", "--objective", "spin", "--seed", "1"]) == (
        "spin", ["a.yaml", "--seed", "1"]
    )  # fmt: skip
    assert train.take_objective(["--objective=score"]) == ("score", ["--method=score"])
    with pytest.raises(SystemExit, match="--objective is 'spinn'; expected one of spin, rspin"):
        train.take_objective(["--objective", "spinn"])
    with pytest.raises(SystemExit, match="no objective was given; pass --objective with one of"):
        train.take_objective(["a.yaml"])


def test_every_part_of_an_objective_is_there():
    for objective in train.OBJECTIVES.values():
        places = (objective.training_arguments, objective.build, objective.run)
        assert all(map(train._load, (*objective.arguments, *places)))
        options = {f.name for f in fields(train._load(objective.optimization))}
        assert options <= {f.name for f in fields(train._load(objective.training_arguments))}
    assert [f.name for f in fields(AdapterOptions)] == [f.name for f in fields(AdapterArguments)]


def test_none_takes_back_the_labels_of_a_config():
    assert RSpinArguments(pseudo_labels="none").pseudo_labels is None
    assert RSpinArguments(pseudo_labels="runs/pieces").pseudo_labels == "runs/pieces"


def test_the_folder_of_an_adapter_names_where_it_is_merged(tiny, tmp_path):
    model = add_lora(tiny.tiny_model(), heads=["spin_head"])
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds an adapter, no model; expected a folder with"):
        resolve_encoder(str(tmp_path))
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    with pytest.raises(ValueError, match=f"no model: pass {tmp_path / 'merged'}, where it is mer"):
        resolve_encoder(str(tmp_path))
