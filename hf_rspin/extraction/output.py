"""The output folder of an extraction: what is finished, from what it was made, what is missing.

OUT/data/data-00000-of-00012.parquet   the rows of some utterances, whole or not there
OUT/finished/00000.json                written after it: rows, skipped files, provenance
OUT/finished/corpus.json               how much there is to do
OUT/provenance.json                    what decides the content; another run is refused
OUT/index.json, OUT/README.md          written when everything is there
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_rspin.extraction.files import SUFFIXES, Row, write_rows
from hf_rspin.utils import read_json, write_json
from hf_rspin.whole_folders import check_new_folder

DATA, FINISHED, CORPUS, INDEX, PROVENANCE = (
    "data", "finished", "corpus.json", "index.json", "provenance.json",
)  # fmt: skip


class OutputFolder:
    """Keeps the files of an extraction; processes that divide them share the folder.

    Args:
        folder: new, or of an earlier call with the same provenance.
        file_format: parquet, npz or dataset.
        num_files: files in all.
        provenance: what decides the content, JSON values.
    """

    def __init__(
        self, folder: str | Path, file_format: str, num_files: int, provenance: Mapping[str, Any]
    ) -> None:
        self.folder, self.num_files = Path(folder), num_files
        self.suffix = SUFFIXES[file_format]
        self.provenance = dict(provenance)
        self.key = provenance_key(provenance)

    def begin(self, utterances: int, about: Mapping[str, Any], skipped: Mapping[str, str]) -> None:
        """Note how much there is to do; refuse a folder of something else.

        Args:
            utterances: to be read.
            about: goes into the index.
            skipped: reasons by file, of those that were left out before.

        Raises:
            ValueError: the folder holds results of other settings, or other files.
        """
        from hf_rspin.training.provenance import check_provenance  # takes seconds

        if not (self.folder / PROVENANCE).is_file() and self._visible():
            check_new_folder(self.folder, "units or features")
        check_provenance(self.folder, self.provenance, (DATA, FINISHED))
        content = {"files": self.num_files, "utterances": utterances, "suffix": self.suffix,
                   "key": self.key, "about": dict(about), "skipped": dict(skipped)}  # fmt: skip
        write_json(self.folder / FINISHED / CORPUS, content, indent=2)

    def is_finished(self, number: int) -> bool:
        """Say whether a file, and the note that it is whole, are there."""
        note = read_json(self._note(number)) or {}
        name = note.get("name")
        whole = name is None or (self.folder / DATA / name).is_file()
        return bool(note) and note.get("key") == self.key and whole

    def write(self, number: int, rows: Sequence[Row], skipped: Mapping[str, str]) -> None:
        """Write a file and then the note that it is whole.

        Args:
            number: of the file, from 0.
            rows: none: no file is written.
            skipped: reasons by name of the utterances that could not be read.
        """
        name = f"data-{number:05d}-of-{self.num_files:05d}{self.suffix}" if rows else None
        note: dict[str, Any] = {"name": name, "key": self.key, "rows": len(rows)}
        note |= {"seconds": round(sum(row["duration"] for row in rows), 3)}
        if name is not None:
            path = self.folder / DATA / name
            write_rows(path, rows)
            note["bytes"] = path.stat().st_size
        write_json(self._note(number), note | {"skipped": dict(skipped)}, indent=2)

    def _note(self, number: int) -> Path:
        return self.folder / FINISHED / f"{number:05d}.json"

    def _visible(self) -> bool:
        there = self.folder.iterdir() if self.folder.is_dir() else ()
        return self.folder.is_file() or any(not one.name.startswith(".") for one in there)


def provenance_key(provenance: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that tell a provenance from others."""
    text = json.dumps(dict(provenance), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
