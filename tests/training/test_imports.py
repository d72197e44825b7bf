"""Training and CTC import nothing of a later step, and no module imports one that imports it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATER = {
    "training": {"ctc", "evaluation", "analysis", "hub"},
    "ctc": {"hub"},
}


def imports(file):
    """Return the modules of the package that a file imports, inside functions too."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    only_for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node not in only_for_types
        if (node.module or "").startswith("hf_rspin.")
    }


@pytest.mark.parametrize("package", LATER)
def test_nothing_of_a_later_step_is_imported(package):
    for file in (ROOT / "hf_rspin" / package).glob("*.py"):
        assert not {name.split(".")[1] for name in imports(file)} & LATER[package], file


@pytest.mark.parametrize("package", LATER)
def test_there_is_no_circle(package):
    folder = ROOT / "hf_rspin" / package
    known = {f"hf_rspin.{package}.{file.stem}": imports(file) for file in folder.glob("*.py")}
    while known:
        free = [name for name, needs in known.items() if not needs & known.keys()]
        assert free, f"a circle among {sorted(known)}"
        for name in free:
            del known[name]
