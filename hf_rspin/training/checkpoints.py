"""Find a checkpoint that is whole, and remove what a killed run left."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hf_rspin.publishing.card_file import CARD, is_untouched
from hf_rspin.training.provenance import PROVENANCE

logger = logging.getLogger(__name__)

# written first, by this version and by 0.1.0
FIRST_FILES = (PROVENANCE, "training_progress.json")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
RESULT_FILES = ("results.json", "history.json", "dev_predictions.csv", "test_predictions.csv")
ADAPTER_FOLDER = "adapter"  # of a CTC fine-tune
MERGED = "merged"  # LoRA in its encoder, beside the adapter
STATE_FILES = ("optimizer.pt", "scheduler.pt", "trainer_state.json")


def checkpoints(output_dir: str | Path) -> list[Path]:
    """Return the checkpoint folders in `output_dir`, newest (most updates) first."""
    found = [
        (int(match.group(1)), path)
        for path in Path(output_dir).glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found, reverse=True)]


def last_complete_checkpoint(output_dir: str | Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, or None.

    A run killed while saving leaves a torn folder, which `Trainer` would try to load.
    """
    for path in checkpoints(output_dir):
        missing = _missing(path)
        if not missing:
            return path
        logger.warning("%s is incomplete (no %s): trying the one before.", path, missing)
    return None


def is_torn(checkpoint: Path) -> bool:
    """Say whether a run of this package was killed while it wrote `checkpoint`.

    The provenance is written first and the state of `Trainer` last. A folder that neither is
    empty nor has the first is not ours.
    """
    files = [path.name for path in checkpoint.iterdir()]
    return not files or (not set(FIRST_FILES).isdisjoint(files) and not _has_state(checkpoint))


def remove_torn_checkpoints(output_dir: str | Path) -> None:
    """Delete checkpoints that a killed run left half written."""
    for path in filter(is_torn, checkpoints(output_dir)):
        logger.warning("Deleting %s: the run was killed while writing it.", path)
        shutil.rmtree(path)


def _missing(checkpoint: Path) -> str:
    """Name a file that is absent or damaged; "" for a whole checkpoint."""
    weights = [checkpoint / name for name in WEIGHT_FILES if (checkpoint / name).is_file()]
    if not weights:
        return WEIGHT_FILES[0]
    damaged = [path.name for path in weights if not _is_whole(path)]
    if damaged:
        return f"valid {damaged[0]}"
    for name in STATE_FILES:
        if not (checkpoint / name).is_file():
            return name
        if name.endswith(".pt") and not zipfile.is_zipfile(checkpoint / name):
            return f"valid {name}"
    if not any(checkpoint.glob("rng_state*.pth")):
        return "rng_state.pth"
    return "" if _has_state(checkpoint) else "valid trainer_state.json"


def _is_whole(weights: Path) -> bool:
    if weights.suffix != ".safetensors":
        return weights.stat().st_size > 0
    try:
        with safe_open(weights, "pt"):
            return True
    except (SafetensorError, OSError):
        return False


def _has_state(checkpoint: Path) -> bool:
    """Say whether the file that is written last is there and whole."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def remove_checkpoints(output_dir: str | Path) -> None:
    """Delete the checkpoints of an earlier run, which a later resume would mix up with this one."""
    for path in checkpoints(output_dir):
        logger.warning("Deleting %s: overwrite_output_dir is set.", path)
        shutil.rmtree(path)


def remove_results(output_dir: str | Path) -> None:
    """Delete the model of an earlier run and what was said of it, until this one has its own.

    An adapter would be loaded on top of a whole model, and a run that is killed soon would leave
    error rates of another model beside its checkpoints. A card that a person edited stays.
    """
    folder = Path(output_dir)
    # pieces of other labels would be those of this model's units
    for name in (*WEIGHT_FILES, *RESULT_FILES, "adapter_config.json", "acoustic_pieces.json"):
        (folder / name).unlink(missing_ok=True)
    for inner, file in ((MERGED, "config.json"), (ADAPTER_FOLDER, "adapter_config.json")):
        if (folder / inner / file).is_file():
            shutil.rmtree(folder / inner)
    card = folder / CARD
    if card.is_file() and is_untouched(card.read_text(encoding="utf-8", errors="replace")):
        card.unlink()


class SaveError(OSError):
    """A model or a checkpoint that could not be written; the message says why."""


@contextlib.contextmanager
def full_disk_explained(folder: str | Path) -> Iterator[None]:
    """Turn the many errors of a full disk inside into one.

    Raises:
        SaveError: something could not be written to `folder` for lack of space.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        text = " ".join(str(error).split())
        if not re.search("No space left|file write failed|File too large|quota", text):
            raise
        raise SaveError(
            f"{folder} could not be saved ({text[:100]}): free some space; the same command then "
            "goes on from the checkpoint before."
        ) from error
