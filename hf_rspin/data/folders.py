"""What lies in a folder of speech: audio, tables that describe it, and what cannot be read."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from hf_rspin.audio import AUDIO_SUFFIXES
from hf_rspin.audio_files import FOREIGN_SUFFIXES, conversion_hint

logger = logging.getLogger(__name__)

METADATA_SUFFIXES = (".csv", ".parquet", ".jsonl", ".tsv")  # the first found is read
ALIGNMENTS = "alignments.jsonl"  # phone times, see `data/alignments.py`: no table of audio
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # nothing is found in them
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")  # of other names: not read, but told
ADAPTED = {"plan.json", "provenance.json"}  # in the output folder of `adapt`, beside
MADE_BY_ADAPT = {"corpus", "labels", "model", "evaluation"}
# of splits: train, TRAIN, train-clean-100, test_unseen, dev2; not of devi, trainer_bob, valley
SPLIT_NAME = re.compile(
    r"(train(ing)?|dev(elopment)?|val(id(ation)?)?|test(ing)?|eval(uation)?)\d*([-_. ].*)?", re.I
)


@dataclass
class FolderContents:
    """Files of a folder and its sub-folders, each list sorted.

    Attributes:
        audio: what can be read.
        metadata: one `metadata.csv` or the like per folder that has one; only that of the folder
            itself where there is one.
        shards: parquet files of another name.
        archives: tar files.
        compressed: tar files that are compressed, which cannot be read.
        tables: tables of another name, which are not read.
        foreign: audio of formats that cannot be read.
        nameless: files whose names are not UTF-8, as text that can be printed.
    """

    audio: list[Path] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    compressed: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)


def list_folder(folder: Path) -> FolderContents:
    """Sort the files below `folder`; hidden ones and hidden folders do not count."""
    contents, metadata = FolderContents(), {}
    for file in sorted(_files_below(folder)):
        suffix = file.suffix.lower()
        if not _is_text(file):
            if suffix in AUDIO_SUFFIXES:
                contents.nameless.append(os.fsencode(file).decode("utf-8", "backslashreplace"))
        elif file.stem.lower() == "metadata" and suffix in METADATA_SUFFIXES:
            metadata.setdefault(file.parent, []).append(file)
        elif suffix in AUDIO_SUFFIXES:
            contents.audio.append(file)
        elif suffix == ".parquet":
            contents.shards.append(file)
        elif suffix == ".tar":
            contents.archives.append(file)
        elif file.name.lower().endswith(COMPRESSED):
            contents.compressed.append(file)
        elif suffix in TABLE_SUFFIXES and file.name != ALIGNMENTS:
            contents.tables.append(file)
        elif suffix in FOREIGN_SUFFIXES:
            contents.foreign.append(file)
    chosen = {place: min(files, key=_preference) for place, files in metadata.items()}
    places = [folder] if folder in chosen else sorted(chosen)
    contents.metadata = [chosen[place] for place in places]
    return contents


def split_of(name: str) -> str | None:
    """Return the first folder of a relative path where it is called as a split, such as train."""
    parts = PurePath(name).parts
    if len(parts) > 1 and SPLIT_NAME.fullmatch(parts[0]):
        return parts[0]
    return None


def split_of_shard(name: str) -> str | None:
    """Return the split of a parquet file by its folder or its name, as the Hub writes them."""
    stem = re.sub(r"-\d+(-of-\d+)?$", "", PurePath(name).stem)
    return split_of(name) or (stem if SPLIT_NAME.fullmatch(stem) else None)


def describe_foreign(files: list[Path]) -> str:
    """Say how many files of which formats cannot be read, and how to convert them."""
    counts = Counter(file.suffix.lower() for file in files)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    return (
        f"{len(files)} file{'s are' if len(files) > 1 else ' is'} of a format that cannot be read "
        f"here ({listed}): convert with {conversion_hint(str(files[0]))}"
    )


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files; each folder is entered once, by its own path before any link to it.

    What `adapt` left below `folder` is not entered: its parts are cut from the recordings.
    """
    entered: set[tuple[int, int]] = set()
    waiting, links = deque([folder]), deque()
    while waiting or links:
        place = (waiting or links).popleft()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(place) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
            if place != folder and ADAPTED.issubset(entry.name for entry in entries):
                logger.warning("What `hf-rspin adapt` made in %s is left out.", place)
                entries = [entry for entry in entries if entry.name not in MADE_BY_ADAPT]
        except OSError as error:
            logger.warning("%s cannot be entered and is left out (%s).", place, error.strerror)
            continue
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                yield place / entry.name
            elif entry.is_symlink():
                links.append(place / entry.name)
            else:
                waiting.append(place / entry.name)


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def _preference(file: Path) -> tuple[int, bool, str]:
    return METADATA_SUFFIXES.index(file.suffix.lower()), file.name != file.name.lower(), file.name
