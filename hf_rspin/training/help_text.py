"""The help of a command: each option once, with its default; rare and stock ones on request."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from hf_rspin.utils import RareHelp

HELP_OPTIONS = frozenset({"-h", "--help", "--help_all"})
WIDTH, INDENT = 100, 30
MORE = """The options of transformers.TrainingArguments work too, among them --output_dir, --seed,
--save_steps, --eval_strategy, --gradient_accumulation_steps, --bf16, --use_cpu, --report_to and
--dataloader_num_workers; --help_all shows them all, and rare ones."""
STOCK = "TrainingArguments"  # of transformers, known by its name without importing it


def help_text(
    classes: Sequence[type], intro: str | None = None, everything: bool = False
) -> str:
    """Return the options of some dataclasses as text of 100 columns.

    Args:
        classes: dataclasses, the fields of which are options.
        intro: what the script does.
        everything: also the fields that come from `transformers.TrainingArguments` unchanged.
    """
    parts = [inspect.cleandoc(intro or ""), "[config.yaml ...] [--option value ...]"]
    for one in classes:
        lines = [_option(field) for field in _chosen(one, everything)]
        if lines:
            title = inspect.cleandoc(one.__doc__ or one.__name__).split("\n\n")[0]
            parts.append("\n".join([" ".join(title.split()), *lines]))
    parents = {parent.__name__ for one in classes for parent in one.__mro__}
    if not everything and "SpeechOptions" in parents:
        parts.append(MORE)
    elif not everything and any(_is_rare(f) for one in classes for f in fields(one)):
        parts.append("--help_all shows the rare options too.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _chosen(one: type, everything: bool) -> Iterator[Field]:
    ours: set[str] = set()
    for parent in one.__mro__:
        if parent.__name__ != STOCK:
            ours |= set(parent.__dict__.get("__annotations__", {}))
    stock = STOCK in (parent.__name__ for parent in one.__mro__)
    for field in fields(one):
        if not field.init or (_is_rare(field) and not everything):
            continue
        if everything or not stock or field.name in ours | {"output_dir"}:
            yield field


def _is_rare(field: Field) -> bool:
    return isinstance(field.metadata.get("help"), RareHelp)


def _option(field: Field) -> str:
    text = " ".join(str(field.metadata.get("help", "")).split())
    default = _default(field)
    if default is not None:
        text = f"{text} (default: {default})"
    lines = textwrap.wrap(text, WIDTH - INDENT) or [""]
    name = f"  --{field.name}"
    first = f"{name:<{INDENT}}{lines[0]}"
    if len(name) >= INDENT:
        first = f"{name}\n{'':<{INDENT}}{lines[0]}"
    return "\n".join([first, *(f"{'':<{INDENT}}{line}" for line in lines[1:])]).rstrip()


def _default(field: Field) -> Any:
    value = field.default
    if field.default_factory is not MISSING:
        value = field.default_factory()
    if value is MISSING or value is None or value == "":
        return None
    return " ".join(map(str, value)) if isinstance(value, list) else value
