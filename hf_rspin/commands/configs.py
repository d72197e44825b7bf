"""List the configs that ship with the package, or print one: `hf-rspin configs rspin_small.yaml`.

A command finds them by name; to change one, print it into a file of your own:

    hf-rspin configs rspin_small.yaml > mine.yaml
    hf-rspin train --objective rspin mine.yaml --corpus speech
"""

from __future__ import annotations

import difflib
import itertools
import re
import sys
import textwrap

from hf_rspin.configs import config_file, config_names
from hf_rspin.training.help_text import HELP_OPTIONS


def main(arguments: list[str] | None = None) -> None:
    """Print the names with their first lines, or one config."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not HELP_OPTIONS.isdisjoint(given):
        print(__doc__.strip())
        return
    names = config_names()
    if not given:
        width = max(map(len, names))
        for name in names:
            text = f"{name:<{width}}  {first_sentence(name)}"
            print(textwrap.fill(text, 100, subsequent_indent=" " * (width + 2)))
        return
    name = given[0] if given[0].endswith(".yaml") else f"{given[0]}.yaml"
    if name not in names:
        close = difflib.get_close_matches(name, names)
        hint = f"did you mean {' or '.join(close)}?" if close else "expected one that it lists."
        sys.exit(f"the package has no config {given[0]}; {hint}")
    print(config_file(name).read_text(encoding="utf-8"), end="")


def first_sentence(name: str) -> str:
    """Return what the comment at the top of a config says first."""
    lines = config_file(name).read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line.lstrip("# ") for line in comment)
    return re.split(r"(?<=[a-z)])\. ", text)[0].rstrip(".")
