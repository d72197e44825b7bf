"""Count files that cannot be used: one warning for each, or an error when strict."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hf_rspin.audio import AudioError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and a sentence that names it and says why."""

    name: str
    reason: str


class SkipLog:
    """Remembers skipped files by name.

    Args:
        strict: raise instead of skipping.
    """

    def __init__(self, strict: bool = False):
        self.strict = strict
        self.reasons: dict[str, str] = {}

    def __len__(self) -> int:
        """Return the number of different files."""
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
