"""`alignments.jsonl` while it is made: finished lines survive a kill, the file appears whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hf_rspin.utils import write_text
from hf_rspin.whole_folders import lock

PARTIAL = ".partial"  # after the name of the file


class AlignmentLines:
    """Lines by file name: those of `output`, and those that a killed run left beside it.

    Attributes:
        finished: lines of `output`.
        found: lines of a killed run, and of this one.
    """

    def __init__(self, output: Path, finished: dict[str, dict[str, Any]], partial: IO[str]):
        self.output, self.finished, self._partial = output, finished, partial
        partial.seek(0)
        self.found = _whole_lines(partial.read())
        # a line that was cut off would swallow the next one
        partial.seek(0)
        partial.truncate()
        partial.write("".join(_dump(line) for line in self.found.values()))
        partial.flush()

    def add(self, line: dict[str, Any]) -> None:
        """Keep a line with `file_name`; from here on a kill does not lose it."""
        self.found[line["file_name"]] = line
        self._partial.write(_dump(line))
        self._partial.flush()

    def leave_out(self, file_name: str) -> None:
        """Forget what was known of a file."""
        self.finished.pop(file_name, None)
        self.found.pop(file_name, None)

    def write(self) -> None:
        """Write all lines into `output`, whole or not at all; newer ones replace older."""
        lines = {**self.finished, **self.found}
        if lines or self.output.exists():
            write_text(self.output, "".join(map(_dump, lines.values())))


@contextlib.contextmanager
def resumable_lines(output: Path) -> Iterator[AlignmentLines]:
    """Give the lines of `output` to add to, and write them at the end.

    After a failure or a kill, what was added lies in `<output>.partial`, and is found again.

    Raises:
        ValueError: another process writes them, or `output` holds something else.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    finished = _read(output) if output.exists() else {}
    partial = output.with_name(output.name + PARTIAL)
    with open(partial, "a+", encoding="utf-8", newline="\n") as file:
        if not lock(file):
            raise ValueError(
                f"{output} is being written by another run: wait for it, or name another --output."
            )
        lines = AlignmentLines(output, finished, file)
        try:
            yield lines
            lines.write()
            lines.found.clear()
        finally:
            if not lines.found:
                partial.unlink()


def _dump(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def _read(output: Path) -> dict[str, dict[str, Any]]:
    text = output.read_text(encoding="utf-8-sig")
    lines = _whole_lines(text if text.endswith("\n") else text + "\n")
    if len(lines) != sum(bool(line.strip()) for line in text.splitlines()):
        raise ValueError(
            f"{output} holds lines that are no JSON objects with `file_name`, or two of one file; "
            "expected alignments: repair it, or name another --output."
        )
    return lines


def _whole_lines(text: str) -> dict[str, dict[str, Any]]:
    found = {}
    for text_line in text.split("\n")[:-1]:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            line = json.loads(text_line)
            found[line["file_name"]] = line
    return found
