"""Command lines, and how they end.

YAML files come first, then options that override them. Mistakes that a user can mend end a script
with one sentence; anything else keeps its traceback. While a script reads its corpus, its model
and its settings, values and files that are wrong are the user's. Later only audio, the checks
before the first step, NaN and a full disk are: a `ValueError` in the middle of training is a defect
of the program, and its traceback is wanted.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.util
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import yaml

from hf_rspin.configs import config_file, config_names
from hf_rspin.training.help_text import HELP_OPTIONS, STOCK, help_text
from hf_rspin.training.precision import without_slow_bfloat16

logger = logging.getLogger(__name__)

MOST_NODES = 10_000  # values of a YAML file; the configs of this project have about 50

# by name: to import what raises them takes seconds, and `--help` needs none of it
WHILE_BUILDING = ("ValueError", "OSError", "StrictDataclassError", "DatasetsError",
                  "SafetensorError")  # fmt: skip
WHILE_RUNNING = ("AudioError", "ConfigurationError", "AdapterGradientError", "OutputLockedError",
                 "FloatingPointError", "SaveError", "ShardError", "MixedResultsError")  # fmt: skip
# a worker of a DataLoader hands on its traceback as text, the message of the error last
FROM_A_WORKER = re.compile(r"Caught \w+ in DataLoader worker .*\n[\w.]+: (.+)", re.DOTALL)


@contextlib.contextmanager
def exit_on_user_error(kinds: tuple[str, ...] = WHILE_BUILDING) -> Iterator[None]:
    """End the process with one sentence on stderr and code 1 where an error is of `kinds`.

    Ctrl-C ends it with code 130, and a run that was stopped by a signal with the usual code of
    that signal. The traceback is logged at level DEBUG.

    Raises:
        SystemExit: an error of `kinds` was raised inside.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        logger.debug("Interrupted here:", exc_info=True)
        _flush_stdout()
        sys.stderr.write(f"{error or 'Interrupted.'}\n")
        sys.exit(vars(error).get("exit_code", 130))
    except Exception as error:
        if not any(one.__name__ in kinds for one in type(error).__mro__):
            raise
        logger.debug("The mistake was found here:", exc_info=True)
        _flush_stdout()
        sys.exit(explain(error))


def _flush_stdout() -> None:
    """Write what a pipe or file holds back, so that the last sentence is the last there too."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()


def explain(error: Exception) -> str:
    """Return the message of an error on one line; a list of reasons keeps its lines."""
    kind = type(error).__name__
    if kind == "ConfigurationError":
        return str(error)
    if kind.startswith("StrictDataclass") and error.__cause__ is not None:
        error = error.__cause__  # the value refused, without the name of the validator
    text = str(error)
    if kind == "SafetensorError":
        text = f"a file of weights is damaged ({text}): download or copy the model again."
    if found := FROM_A_WORKER.fullmatch(text):
        text = found.group(1)
    return " ".join(text.split()) or kind


# options of version 0.1.0
FORMER_OPTIONS = {
    "change_voice": "perturb_speaker",
    "freeze_front_end": "freeze_feature_encoder",
    "snr_db": "snr",
}


def parse_arguments(
    *argument_classes: type,
    arguments: list[str] | None = None,
    intro: str | None = None,
    words: Sequence[str] = (),
) -> tuple[Any, ...]:
    """Parse `[config.yaml ...] [--option value ...]` into one dataclass instance per class.

    Of several files, the later ones win; those that ship with the package are found by their name.
    bfloat16 of a file or by default is off where a processor would emulate it, see `precision`.

    Args:
        argument_classes: dataclasses such as `TwoViewTrainingArguments`.
        arguments: the command line; default `sys.argv[1:]`.
        intro: what `--help` says first; default: the docstring of the script that runs.
        words: options whose values may come first without their names, see `with_names`.

    Raises:
        SystemExit: a file is missing or not a mapping, a key or option is unknown, or a value
            is refused; or help was asked for.
    """
    given = with_names(list(sys.argv[1:] if arguments is None else arguments), words)
    if not HELP_OPTIONS.isdisjoint(given):
        show_help(*argument_classes, everything="--help_all" in given, intro=intro)
    refuse_unknown(given, *argument_classes)
    options: list[str] = []
    files: dict[str, str] = {}  # where a key stands
    said: dict[str, Any] = {}
    while given and given[0].endswith((".yaml", ".yml")):
        file = given.pop(0)
        content = _read_yaml(config_file(file))
        values = {FORMER_OPTIONS.get(name, name): value for name, value in content.items()}
        options += _as_options(values)
        files |= dict.fromkeys(values, file)
        said |= values
    for index, option in enumerate(given):
        name, equals, value = option.removeprefix("--").partition("=")
        if option.startswith("--") and name in FORMER_OPTIONS:
            given[index] = f"--{FORMER_OPTIONS[name]}{equals}{value}"
    given = _joined(given)
    options += without_slow_bfloat16(argument_classes, said, given)
    with exit_on_user_error():  # `__post_init__` of the classes checks values
        *parsed, unknown = _parser(argument_classes).parse_args_into_dataclasses(
            args=options + given, return_remaining_strings=True
        )
    if unknown:
        names = [f.name for one in argument_classes for f in fields(one) if f.init]
        sys.exit(_explain_unknown(unknown, names, files))
    return tuple(parsed)


def with_names(given: list[str], words: Sequence[str]) -> list[str]:
    """Return a command line in which the first words have become the values of options.

    Args:
        given: `[config.yaml ...] [word ...] [--option value ...]`.
        words: the options that the words are values of, in their order; fewer words are fine.

    Example:
        >>> with_names(["my.yaml", "runs/rspin", "--seed", "1"], ["encoder", "output"])
        ['my.yaml', '--encoder=runs/rspin', '--seed', '1']
    """
    rest, files, named = list(given), [], []
    while rest and rest[0].endswith((".yaml", ".yml")):
        files.append(rest.pop(0))
    for name in words:
        if rest and not rest[0].startswith("-"):
            named.append(f"--{name}={rest.pop(0)}")
    return [*files, *named, *rest]


REPEATED = ("--teacher", "--target_layers")  # each time for one more teacher


def _joined(given: list[str]) -> list[str]:
    """Join the values of options that may be given several times on the command line."""
    values: dict[str, list[str]] = {}
    rest, current = [], None
    for part in given:
        name, equals, value = part.partition("=")
        if part.startswith("--"):
            current = name if name in REPEATED else None
            if current:
                values.setdefault(name, []).extend([value] if equals else [])
                continue
        (values[current] if current else rest).append(part)
    return rest + [one for name, found in values.items() for one in (name, *found)]


def refuse_unknown(given: list[str], *argument_classes: type) -> None:
    """End with one sentence where an option does not exist, before what takes seconds to import.

    Args:
        given: the command line.
        argument_classes: dataclasses of options; those of optimisation may lack what
            `transformers` adds to them.

    Raises:
        SystemExit: an option does not exist.
    """
    names = {f.name for one in argument_classes for f in fields(one) if f.init}
    if "SpeechOptions" in {parent.__name__ for one in argument_classes for parent in one.__mro__}:
        names |= stock_options()
    for text in given:
        name = text.removeprefix("--").partition("=")[0].replace("-", "_")
        if text.startswith("--") and name not in FORMER_OPTIONS:
            if name not in names and name.removeprefix("no_") not in names:
                sys.exit(_explain_unknown([text], sorted(names), {}))


def stock_options() -> set[str]:
    """Return the names of the options of `transformers.TrainingArguments`, read in its source."""
    found = importlib.util.find_spec("transformers")
    source = Path(found.origin).with_name("training_args.py").read_text(encoding="utf-8")
    classes = [one for one in ast.parse(source).body if isinstance(one, ast.ClassDef)]
    return {
        line.target.id
        for one in classes
        if one.name == STOCK
        for line in one.body
        if isinstance(line, ast.AnnAssign)
    }


def show_help(
    *argument_classes: type, everything: bool = False, intro: str | None = None
) -> NoReturn:
    """Print the options of the classes and end; `everything` adds the rare ones and the stock."""
    intro = intro or getattr(sys.modules.get("__main__"), "__doc__", None)
    sys.stdout.write(help_text(argument_classes, intro, everything))
    sys.exit(0)


def _parser(argument_classes: tuple[type, ...]) -> Any:
    from transformers import HfArgumentParser

    class Parser(HfArgumentParser):
        """Says what is wrong without the hundred lines of usage."""

        def error(self, message: str) -> NoReturn:
            self.exit(2, f"{message}; see --help.\n")

    parser = Parser(argument_classes, allow_abbrev=False)
    _add_short_forms(parser, argument_classes)
    return parser


def _add_short_forms(parser: Any, argument_classes: tuple[type, ...]) -> None:
    """Let `--bf16` and `--no_bf16` say true and false of options whose default is neither."""
    undecided = {
        one.name for kind in argument_classes for one in fields(kind)
        if one.default is None and str(one.type).replace(" ", "") in ("bool|None", "Optional[bool]")
    }  # fmt: skip
    for action in list(parser._actions):
        if action.dest in undecided:
            action.nargs, action.const = "?", True
            no = f"--no_{action.dest}"
            parser.add_argument(no, dest=action.dest, action="store_false", default=None)


def _explain_unknown(unknown: list[str], names: list[str], files: dict[str, str]) -> str:
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
        close = difflib.get_close_matches(path.name, config_names(), 1)
        hint = f"did you mean {close[0]}? " if close else ""
        sys.exit(f"{path} does not exist; {hint}`hf-rspin configs` lists those of the package.")
    try:
        values = _parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sys.exit(f"{path} is no YAML that can be used: {' '.join(str(error).split())}.")
    if not isinstance(values, dict):
        sys.exit(f"{path} holds {type(values).__name__}; expected lines of the form `name: value`.")
    return values


def _parse_yaml(text: str) -> Any:
    """Return what a text holds; aliases, which can stand for billions of values, have a limit.

    Raises:
        ValueError: it is more than `MOST_NODES` values, or one of them cannot be.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _count_nodes(root, {})
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _count_nodes(node: yaml.Node, counts: dict[yaml.Node, int]) -> int:
    """Return how many nodes there are from `node` on, each alias counted as what it stands for."""
    if node not in counts:
        counts[node] = MOST_NODES  # while it is open: it may hold itself
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            inner = [one for pair in inner for one in pair]
        counts[node] = 1 + sum(_count_nodes(one, counts) for one in inner)
        if counts[node] > MOST_NODES:
            raise ValueError(f"its aliases stand for more than {MOST_NODES} values")
    return counts[node]


def _as_options(values: dict[str, Any]) -> list[str]:
    """Write a mapping as command-line options; what follows on the command line then wins."""
    options = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, list):
            options += [f"--{name}", *map(str, value)]
        else:
            text = json.dumps(value, default=str) if isinstance(value, dict) else str(value)
            options.append(f"--{name}={text}")
    return options
