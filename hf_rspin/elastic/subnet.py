"""One shape of an elastic encoder: its width, and heads and feed-forward ratio of every layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

MOST = 2**20  # far above every width, number of heads or ratio that there is
MOST_LAYERS = 200


@dataclass(frozen=True)
class Subnet:
    """One shape of an elastic encoder.

    Attributes:
        width: hidden size of all layers.
        heads: attention heads, one number per layer; of the head size of the encoder.
        ratios: size of the feed-forward block over `width`, one number per layer.

    Raises:
        ValueError: no layer, heads and ratios of different numbers of layers, or a width or heads
            that are no whole number, or a ratio that is no number, above 0.

    Example:
        >>> Subnet.uniform(640, 10, 4.0, depth=12).to_dict()["depth"]
        12
    """

    width: int
    heads: tuple[int, ...]
    ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", whole_number("width of a subnet", self.width))
        for name, kind in (("heads", whole_number), ("ratios", positive_number)):
            row = getattr(self, name)
            if not _is_list(row):
                raise ValueError(
                    f"{name} of a subnet are {row!r:.60}; expected a list, one number per layer."
                )
            row = tuple(kind(f"one of the {name} of a subnet", value) for value in row)
            object.__setattr__(self, name, row)
        if not self.heads or len(self.heads) != len(self.ratios):
            raise ValueError(
                f"got heads of {len(self.heads)} layers and ratios of {len(self.ratios)}; expected "
                "one of each per layer, of one layer or more."
            )
        if len(self.heads) > MOST_LAYERS:
            raise ValueError(
                f"a subnet has {len(self.heads)} layers; expected {MOST_LAYERS} at most."
            )
        if min(self.feed_forward) < 1:
            raise ValueError(
                f"width {self.width} of a subnet times the ratio {min(self.ratios):g} is below 1; "
                "expected feed-forward blocks of 1 or more: take a larger ratio."
            )

    @classmethod
    def uniform(cls, width: int, heads: int, ratio: float, depth: int) -> Subnet:
        """Return the subnet whose layers are all alike."""
        depth = whole_number("depth of a subnet", depth, MOST_LAYERS)  # before it is expanded
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
        _check_fields(content)
        rows = {name: content[name] for name in ("heads", "ratios")}
        depth = content.get("depth")
        if depth is None:
            depth = max((len(row) for row in rows.values() if _is_list(row)), default=1)
        else:
            depth = whole_number("depth of a subnet", depth, MOST_LAYERS)
        rows = {n: row if _is_list(row) else (row,) * depth for n, row in rows.items()}
        found = cls(content["width"], **rows)
        if found.depth != depth:
            raise ValueError(
                f"a subnet has depth {depth} and heads of {found.depth} layers; expected as many."
            )
        return found


def whole_number(name: str, value: Any, most: int = MOST) -> int:
    """Return a whole number of 1 or more.

    Raises:
        ValueError: it is none, or above `most`; says the name and the value.
    """
    # NaN is in no range, so that int() is of finite numbers alone
    if not _is_number(value) or not 1 <= value <= most or int(value) != value:
        raise ValueError(
            f"{name} is {value!r:.60}; expected a whole number from 1 to {most}: correct it."
        )
    return int(value)


def positive_number(name: str, value: Any) -> float:
    """Return a number above 0.

    Raises:
        ValueError: it is none, or above what can be meant; says the name and the value.
    """
    if not _is_number(value) or not 0 < value <= MOST:
        raise ValueError(
            f"{name} is {value!r:.60}; expected a number above 0 and up to {MOST}: correct it."
        )
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return (
        isinstance(value, Iterable)
        and hasattr(value, "__len__")
        and not isinstance(value, str | bytes | Mapping)
    )


def _check_fields(content: Any) -> None:
    if not isinstance(content, Mapping):
        raise ValueError(
            f"a subnet is {content!r:.60}; expected a mapping of width, depth, heads and ratios."
        )
    unknown = sorted(map(str, {*content} - {"width", "depth", "heads", "ratios"}))
    missing = [name for name in ("width", "heads", "ratios") if name not in content]
    if unknown or missing:
        lacking = [f"no {', '.join(missing)}"] if missing else []
        strange = [f"unknown {', '.join(unknown)}"] if unknown else []
        raise ValueError(
            f"a subnet has {' and '.join(lacking + strange)}; expected width, depth, heads and "
            "ratios."
        )
