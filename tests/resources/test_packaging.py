"""What an installed package must bring along, and the pins that install it."""

import re
import tomllib
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from hf_rspin.resources import encoder_folder, sample_folder

ROOT = Path(__file__).resolve().parents[2]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [  # of `test`, which takes two other extras in
        one for name in ("test", "demo", "onnx", "docs") for one in extras[name]
    ]
    wanted.remove("hf-rspin[demo,onnx]")
    names = {normalized(re.match(r"[\w.-]+", entry).group()) for entry in wanted}
    assert names <= {normalized(name) for name in pins()}


def test_pins_fit_any_build_and_name_no_host():
    for name, pin in pins().items():
        assert re.fullmatch(r"[\w.]+", pin), f"{name}=={pin}"


def test_the_pinned_stack_is_the_one_under_test():
    for name in ("torch", "transformers", "datasets", "numpy"):
        assert version(name).split("+")[0] == pins()[name]


def test_resources_lie_inside_the_package():
    package = ROOT / "hf_rspin" / "resources"
    assert sample_folder() == package / "sample"
    assert encoder_folder() == package / "encoder"


def test_every_file_that_is_no_module_is_package_data():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["setuptools"]["package-data"]
    for file in (ROOT / "hf_rspin").rglob("*"):
        if file.is_dir() or file.suffix in (".py", ".pyc", ".nbi", ".nbc"):
            continue
        named = [
            fnmatch(file.relative_to(ROOT / package.replace(".", "/")).as_posix(), pattern)
            for package, patterns in packed.items()
            for pattern in patterns
            if file.is_relative_to(ROOT / package.replace(".", "/"))
        ]
        assert any(named), file


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
