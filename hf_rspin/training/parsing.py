"""Command lines of the training scripts: YAML files first, then options that override them."""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from hf_rspin.training.mistakes import mistakes_explained


class _Parser(HfArgumentParser):
    """Says what is wrong without the hundred lines of usage; `--help` prints those."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; see --help.\n")


def parse_arguments(*argument_classes: type, arguments: list[str] | None = None) -> tuple[Any, ...]:
    """Parse `[config.yaml ...] [--option value ...]` into one dataclass instance per class.

    Of several files, the later ones win.

    Args:
        argument_classes: dataclasses such as `TwoViewTrainingArguments`.
        arguments: the command line; default `sys.argv[1:]`.

    Raises:
        SystemExit: a file is missing or not a mapping, a key or option is unknown, or a value
            is refused.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options: list[str] = []
    files: dict[str, str] = {}  # where a key stands
    while given and given[0].endswith((".yaml", ".yml")):
        file = given.pop(0)
        values = _read_yaml(Path(file))
        options += _as_options(values)
        files |= dict.fromkeys(values, file)
    parser = _Parser(argument_classes, allow_abbrev=False)
    with mistakes_explained():  # `__post_init__` of the classes checks values
        *parsed, unknown = parser.parse_args_into_dataclasses(
            args=options + given, return_remaining_strings=True
        )
    if unknown:
        names = [f.name for one in argument_classes for f in fields(one) if f.init]
        sys.exit(_explain(unknown, names, files))
    return tuple(parsed)


def _explain(unknown: list[str], names: list[str], files: dict[str, str]) -> str:
    """Say what was not understood, where it stands and what may have been meant."""
    options = [text for text in unknown if text.startswith("--")]
    if not options:
        return f"{unknown[0]!r} belongs to no option; expected --name value. See --help."
    name = options[0].removeprefix("--").partition("=")[0]
    where = f"{name} in {files[name]}" if name in files else f"--{name}"
    close = difflib.get_close_matches(name.replace("-", "_"), names)
    hint = f"did you mean {' or '.join(close)}?" if close else "see --help."
    return f"{where} is no option of this script; {hint}"


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        sys.exit(f"{path} does not exist; see training_scripts/configs/ for examples.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        sys.exit(f"{path} is no YAML: {' '.join(str(error).split())}.")
    if not isinstance(values, dict):
        sys.exit(f"{path} holds {type(values).__name__}; expected lines of the form `name: value`.")
    return values


def _as_options(values: dict[str, Any]) -> list[str]:
    """Write a mapping as command-line options; what follows on the command line then wins."""
    options = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, list):
            options += [f"--{name}", *map(str, value)]
        else:
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            options.append(f"--{name}={text}")
    return options
