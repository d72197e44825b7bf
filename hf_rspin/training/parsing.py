"""Command lines of the training scripts: a YAML file first, then options that override it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser


def parse_arguments(*argument_classes: type, arguments: list[str] | None = None) -> tuple[Any, ...]:
    """Parse `[config.yaml] [--option value ...]` into one dataclass instance per class.

    Args:
        argument_classes: dataclasses such as `TwoViewTrainingArguments`.
        arguments: the command line; default `sys.argv[1:]`.

    Raises:
        SystemExit: the file is missing or not a mapping, or a key or option is unknown.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].endswith((".yaml", ".yml")):
        given = _as_options(_read_yaml(Path(given[0]))) + given[1:]
    return HfArgumentParser(argument_classes).parse_args_into_dataclasses(args=given)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        sys.exit(f"{path} does not exist; see training_scripts/configs/ for examples.")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
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
