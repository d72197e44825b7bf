"""The last step of an extraction: check that every file is there, and write what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_rspin.extraction.files import finish_dataset
from hf_rspin.extraction.output import CORPUS, DATA, FINISHED, INDEX
from hf_rspin.utils import read_json, write_json, write_text

NUMBERS_SHOWN = 10


def merge(folder: str | Path) -> dict[str, Any] | None:
    """Write `index.json` and `README.md` where all files are there; None while some are missing.

    Files of a process without a shared disk may be copied into the folder (`data/` and
    `finished/`).

    Args:
        folder: of `hf-rspin units` or `features`.

    Returns:
        The index.

    Raises:
        ValueError: it is no such folder, or holds a file of another run or a damaged one.
    """
    folder = Path(folder)
    corpus, notes = read_notes(folder)
    if None in notes:
        return None
    found = [note for note in notes if note["name"] is not None]
    _check(folder, corpus, notes)
    skipped = dict(corpus["skipped"])
    for note in notes:
        skipped |= note["skipped"]
    if not found:
        raise ValueError(f"none of the {len(skipped)} recordings can be used; see {folder}.")
    for left in (folder / DATA).glob(".data-*.tmp"):  # of processes that were killed
        left.unlink(missing_ok=True)
    if corpus["suffix"] == ".arrow":
        finish_dataset(folder / DATA, [note["name"] for note in found])
    index = {
        **corpus["about"],
        "utterances": sum(note["rows"] for note in found),
        "hours": round(sum(note["seconds"] for note in found) / 3600, 4),
        "files": [{name: note[name] for name in ("name", "rows", "bytes")} for note in found],
        "skipped": skipped,
    }
    write_text(folder / "README.md", readme(index))
    write_json(folder / INDEX, index, indent=2)
    return index


def read_notes(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """Return what there is to do, and the note of each file; None for one that is not finished.

    Raises:
        ValueError: the folder is of nothing that can be merged, or a note is of another run.
    """
    corpus = read_json(folder / FINISHED / CORPUS)
    if corpus is None:
        raise ValueError(
            f"{folder} holds no {FINISHED}/{CORPUS}; expected the --output_dir of hf-rspin units "
            "or features."
        )
    places = [folder / FINISHED / f"{number:05d}.json" for number in range(corpus["files"])]
    notes = [read_json(place) for place in places]
    for place, note in zip(places, notes, strict=True):
        if note is not None and note["key"] != corpus["key"]:
            raise ValueError(
                f"{place} is of another run (other settings, weights or audio); remove it, and "
                "make its file again."
            )
    return corpus, notes


def missing(folder: str | Path) -> str:
    """Say in one sentence how many files are missing, and which."""
    _, notes = read_notes(Path(folder))
    numbers = [number for number, note in enumerate(notes) if note is None]
    listed = ", ".join(map(str, numbers[:NUMBERS_SHOWN]))
    more = f" and {len(numbers) - NUMBERS_SHOWN} more" if len(numbers) > NUMBERS_SHOWN else ""
    return (
        f"{len(numbers)} of {len(notes)} files are not finished in {folder} ({listed}{more}): run "
        "the same command again, or wait for the other shards."
    )


def _check(folder: Path, corpus: dict[str, Any], notes: list[dict[str, Any]]) -> None:
    """Raise where a file is missing or cut short, or utterances are.

    Raises:
        ValueError: see above.
    """
    for note in notes:
        path = folder / DATA / str(note["name"])
        size = path.stat().st_size if path.is_file() else 0
        if note["name"] is not None and size != note["bytes"]:
            raise ValueError(
                f"{path} has {size} bytes, expected {note['bytes']}: copy it again, or remove its "
                f"note in {folder / FINISHED} and run the same command again."
            )
    count = sum(note["rows"] + len(note["skipped"]) for note in notes)
    if count != corpus["utterances"]:
        raise ValueError(
            f"{folder} holds {count} utterances with those skipped, expected "
            f"{corpus['utterances']}: extract them again into a new folder."
        )


def readme(index: dict[str, Any]) -> str:
    """Return what a folder holds and how it is read, as Markdown."""
    columns = "\n".join(f"- `{name}`: {text}" for name, text in index["columns"].items())
    read = "\n".join(index["read"])
    skipped = "".join(f"- {reason}\n" for reason in index["skipped"].values()) or "None.\n"
    return (
        f"# {index['title']}\n\n{index['utterances']} utterances, {index['hours']} hours, in "
        f"{len(index['files'])} files in `data/`.\n\n```python\n{read}\n```\n\n## Columns\n\n"
        f"{columns}\n\n## Recordings left out\n\n{skipped}"
    )
