"""Conditions that come in four severities, and how tables tell those apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

SEVERITIES = (1, 2, 3, 4)
DEFAULT_SEVERITY = 2


@dataclass(frozen=True)
class GradedDistortion:
    """A condition that is mild (1) to severe (4).

    A subclass has a `kind`, `__call__`, and `describe`, what its severity stands for. What it draws
    depends on the kind, the seed and the utterance: severities differ in strength and not in luck.

    Args:
        severity: 1 to 4.
        name: how tables call it; by default the kind, followed by the severity where that is not
            2: "lowpass", "lowpass_3".
        snr_db: None; there is no noise.

    Raises:
        ValueError: another severity.
    """

    kind: ClassVar[str]
    severity: int = DEFAULT_SEVERITY
    name: str = field(default="", kw_only=True)
    snr_db: None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES or isinstance(self.severity, bool | float):
            raise ValueError(
                f"got severity {self.severity!r} of {self.kind}, expected 1 (mild), 2, 3 or 4."
            )
        if not self.name:
            degree = "" if self.severity == DEFAULT_SEVERITY else f"_{self.severity}"
            object.__setattr__(self, "name", self.variant() + degree)

    def describe(self) -> str:
        """Return what the severity stands for, with its unit."""
        raise NotImplementedError

    def variant(self) -> str:
        """Return the kind, and what else but the severity tells such conditions apart."""
        return self.kind
