"""One shape of an elastic encoder: its width, and heads and feed-forward ratio of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Subnet:
    """One shape of an elastic encoder.

    Attributes:
        width: hidden size of all layers.
        heads: attention heads, one number per layer; of the head size of the encoder.
        ratios: size of the feed-forward block over `width`, one number per layer.

    Raises:
        ValueError: no layer, heads and ratios of different numbers of layers, or one below 1.

    Example:
        >>> Subnet.uniform(640, 10, 4.0, depth=12).to_dict()["depth"]
        12
    """

    width: int
    heads: tuple[int, ...]
    ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(int(count) for count in self.heads))
        object.__setattr__(self, "ratios", tuple(float(ratio) for ratio in self.ratios))
        if not self.heads or len(self.heads) != len(self.ratios):
            raise ValueError(
                f"got heads of {len(self.heads)} layers and ratios of {len(self.ratios)}; expected "
                "one of each per layer, of one layer or more."
            )
        if min(self.width, *self.heads, *self.feed_forward) < 1:
            raise ValueError(f"got {self}; expected 1 or more of everything.")

    @classmethod
    def uniform(cls, width: int, heads: int, ratio: float, depth: int) -> Subnet:
        """Return the subnet whose layers are all alike."""
        return cls(width, (heads,) * depth, (ratio,) * depth)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.heads)

    @property
    def feed_forward(self) -> tuple[int, ...]:
        """Size of the feed-forward block of every layer."""
        return tuple(round(ratio * self.width) for ratio in self.ratios)

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form: width, depth, heads and ratios."""
        return {"width": self.width, "depth": self.depth, "heads": list(self.heads),
                "ratios": list(self.ratios)}  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Subnet:
        """Read the JSON form; one number of heads or one ratio holds for all layers.

        Raises:
            ValueError: a field is missing, unknown or no number, or they do not fit each other.
        """
        unknown = sorted({*content} - {"width", "depth", "heads", "ratios"})
        missing = [name for name in ("width", "heads", "ratios") if name not in content]
        if unknown or missing:
            raise ValueError(
                f"a subnet has no {', '.join(missing)} or unknown {', '.join(unknown)}; expected "
                "width, depth, heads and ratios."
            )
        try:
            lists = [content[name] for name in ("heads", "ratios")]
            depth = int(content.get("depth") or max(np.size(one) for one in lists))
            heads, ratios = ([one] * depth if np.ndim(one) == 0 else one for one in lists)
            found = cls(int(content["width"]), tuple(heads), tuple(ratios))
        except TypeError as error:
            raise ValueError(f"a subnet holds what is no number ({error}); correct it.") from error
        if found.depth != depth:
            raise ValueError(
                f"a subnet has depth {depth} and heads of {found.depth} layers; expected as many."
            )
        return found
