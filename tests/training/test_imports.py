"""Imports flow one way through the whole package: from no later step, and in no circle."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "hf_rspin"
STEPS = (
    "lazy", "configs", "sharding", "inert_pickle", "nearby", "utils", "whole_folders", "seeding",
    "device", "audio_members", "audio_headers", "audio_files", "audio_arrays", "audio",
    "adapter_options", "losses", "publishing", "models", "views", "data", "resources", "units",
    "adapters", "cost", "training", "evaluation", "ctc", "distillation", "elastic", "hub",
    "labelling", "extraction", "adapting", "demo", "commands", "__main__",
)  # fmt: skip


def module_name(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(file): file for file in PACKAGE.rglob("*.py")}


def imports(name):
    """Return the modules of the package that one imports, inside functions and for types too."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
            above = inside.split(".")[: len(inside.split(".")) + 1 - node.level]
            source = ".".join([*above, *filter(None, [node.module])]) if node.level else node.module
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= (names & FILES.keys()) or {source}
    return found & FILES.keys()


IMPORTS = {name: imports(name) for name in FILES}


def test_every_module_has_its_step():
    assert {name.split(".")[1] for name in FILES if name != "hf_rspin"} == set(STEPS)


def test_nothing_of_a_later_step_is_imported():
    steps = {step: place for place, step in enumerate(STEPS)}
    upwards = [
        f"{name} imports {other}"
        for name, needed in IMPORTS.items()
        for other in needed - {"hf_rspin"}  # has its names and version only, see there
        if name != "hf_rspin" and steps[other.split(".")[1]] > steps[name.split(".")[1]]
    ]
    assert not upwards
    assert not IMPORTS["hf_rspin"]


def test_there_is_no_circle():
    known = dict(IMPORTS)
    while known:
        free = [name for name, needs in known.items() if not needs & known.keys()]
        assert free, f"a circle among {sorted(known)}"
        for name in free:
            del known[name]
