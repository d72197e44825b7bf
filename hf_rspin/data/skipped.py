"""Count files that cannot be used: one warning for each, or an error when strict."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from accelerate.utils import gather_object

from hf_rspin.audio import AudioError, AudioSource, audio_name

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10
NAMELESS = audio_name(b"")  # what messages call bytes without a path


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and a sentence that names it and says why."""

    name: str
    reason: str


def utterance_name(source: AudioSource, key: str | None) -> str:
    """Name audio by its path, or by its id `key` where it is bytes without one."""
    name = audio_name(source)
    return f"utterance {key}" if name == NAMELESS and key is not None else name


class SkippedFiles:
    """Remembers skipped files by name.

    Args:
        strict: raise instead of skipping.
    """

    def __init__(self, strict: bool = False):
        self.strict = strict
        self.reasons: dict[str, str] = {}
        self.num_shared = 0  # of them known to the other processes

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, skipped: SkippedFile) -> None:
        """Note a file; the first time it is met, warn.

        Raises:
            AudioError: `strict` is set.
        """
        if self.strict:
            raise AudioError(skipped.reason)
        if skipped.name not in self.reasons:
            self.reasons[skipped.name] = skipped.reason
            logger.warning("Skipped: %s", skipped.reason)

    def note(self, skipped: SkippedFile) -> None:
        """Count a file that somebody else warned about, or that was left out on purpose."""
        self.reasons.setdefault(skipped.name, skipped.reason)

    def summary(self) -> str:
        """Return one sentence for the end of a run, which names some of the files."""
        if not self.reasons:
            return "no file was skipped."
        names = list(self.reasons)
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        return f"{len(names)} skipped: {', '.join(names[:NAMES_SHOWN])}{more}."


def share_skipped(log: SkippedFiles) -> None:
    """Give every process what the others skipped; all of them must call this together."""
    for name, reason in gather_object(list(log.reasons.items())[log.num_shared :]):
        log.add(SkippedFile(name, reason))
    log.num_shared = len(log.reasons)
