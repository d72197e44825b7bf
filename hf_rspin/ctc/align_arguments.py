"""What `hf-rspin align` asks for: a corpus, and a CTC model that aligns it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hf_rspin.utils import option

SPREAD = 3  # frames


@dataclass
class AlignArguments:
    """What to align, with what."""

    model: str = option("", "folder of `hf-rspin finetune-ctc`, or its adapter")
    corpus: str = option("", "folder of audio with a table, or the table")
    output: str = option("", "file to write, such as CORPUS/alignments.jsonl")
    column: str = option("auto", "phones, text, or auto: what the model was trained on")
    split: str | None = option(None, "rows with this value of `split`; none: all")
    text_column: str | None = option(None, "column of the transcripts, such as sentence")
    spread: int = option(
        SPREAD, "blank frames of 20 ms that a phone takes on each side at most; -1: all"
    )
    overwrite: bool = option(False, "replace lines of the output that were made otherwise")
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")

    def __post_init__(self) -> None:
        for name in ("model", "corpus", "output"):
            if not getattr(self, name):
                sys.exit(f"no {name} was given; pass --{name}, see --help.")
        if self.column not in ("auto", "phones", "text"):
            sys.exit(f"--column is {self.column!r}; expected phones, text or auto.")
        if self.spread < -1:
            sys.exit(f"--spread is {self.spread}; expected frames from 0, or -1 for all.")
