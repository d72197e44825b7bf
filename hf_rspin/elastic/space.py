"""Which subnets an elastic encoder has: widths, heads and feed-forward sizes per layer, depths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_rspin.elastic.subnet import MOST, MOST_LAYERS, Subnet, positive_number, whole_number
from hf_rspin.utils import read_json, write_json

SPACE_FILE = "elastic.json"  # in the folder of a supernet
FIELDS = ("widths", "heads", "ratios", "depths")


@dataclass(frozen=True)
class SubnetSpace:
    """What the subnets of one supernet can be; heads and ratios are chosen per layer.

    The spaces of LightHuBERT (arXiv 2203.15610) are `SPACES["lighthubert_base"]` and
    `SPACES["lighthubert_small"]`.

    Args:
        widths: hidden sizes.
        heads: numbers of heads of a layer.
        ratios: sizes of a feed-forward block over the width.
        depths: numbers of layers; a shallower subnet has the lowest ones.
        head_size: dimensions of a head, in every subnet.

    Raises:
        ValueError: a list is empty, or holds a number twice or what is no number above 0 (but for
            ratios a whole one), or a width times a ratio is no whole number.

    Example:
        >>> space = SPACES["lighthubert_base"]
        >>> space.sample(np.random.default_rng(0)).depth
        12
        >>> space.largest.width, space.smallest.width
        (768, 512)
    """

    widths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]
    depths: tuple[int, ...]
    head_size: int = 64

    def __post_init__(self) -> None:
        for name in FIELDS:
            given = getattr(self, name)
            object.__setattr__(self, name, _choices(name, given))
        size = whole_number("head_size of a space of subnets", self.head_size)
        object.__setattr__(self, "head_size", size)
        for width in self.widths:
            for ratio in self.ratios:
                if abs(ratio * width - round(ratio * width)) > 1e-6:
                    raise ValueError(
                        f"width {width} times the feed-forward ratio {ratio:g} is "
                        f"{ratio * width:g}; expected a whole number: change one of them."
                    )

    @property
    def largest(self) -> Subnet:
        """The subnet with the most of everything."""
        return Subnet.uniform(self.widths[-1], self.heads[-1], self.ratios[-1], self.depths[-1])

    @property
    def smallest(self) -> Subnet:
        """The subnet with the least of everything."""
        return Subnet.uniform(self.widths[0], self.heads[0], self.ratios[0], self.depths[0])

    @property
    def exportable_widths(self) -> tuple[int, ...]:
        """Widths that are a number of heads times the head size: those of plain encoders."""
        return tuple(w for w in self.widths if w / self.head_size in self.heads)

    @property
    def size(self) -> int:
        """Number of subnets."""
        choices = len(self.heads) * len(self.ratios)
        return len(self.widths) * sum(choices**depth for depth in self.depths)

    def sample(self, generator: np.random.Generator, exportable: bool = False) -> Subnet:
        """Draw a subnet: width, depth, then heads and ratio of every layer, each uniformly.

        Args:
            generator: decides the draw.
            exportable: only among those that a plain HubertModel can be, see `extract_subnet`.

        Raises:
            ValueError: exportable ones are asked for, and there are none.
        """
        widths = self.exportable_widths if exportable else self.widths
        if not widths:
            raise ValueError(
                f"no width of {list(self.widths)} is {self.head_size} times one of the heads "
                f"{list(self.heads)}: no subnet of this space is a plain encoder."
            )
        width, depth = int(generator.choice(widths)), int(generator.choice(self.depths))
        if exportable:
            ratio = float(generator.choice(self.ratios))
            return Subnet.uniform(width, width // self.head_size, ratio, depth)
        heads, ratios = generator.choice(self.heads, depth), generator.choice(self.ratios, depth)
        return Subnet(width, tuple(heads), tuple(ratios))

    def contains(self, subnet: Subnet) -> bool:
        """Say whether a subnet is one of this space."""
        return self._stranger(subnet) is None

    def check(self, subnet: Subnet) -> None:
        """Refuse a subnet that is not one of this space.

        Raises:
            ValueError: see above; it names what is outside.
        """
        found = self._stranger(subnet)
        if found is not None:
            raise ValueError(f"a subnet outside of the space was asked for: {found}.")

    def _stranger(self, subnet: Subnet) -> str | None:
        if subnet.width not in self.widths:
            return f"its width is {subnet.width}; expected one of {list(self.widths)}"
        if subnet.depth not in self.depths:
            return f"it has {subnet.depth} layers; expected one of {list(self.depths)}"
        for number, (heads, ratio) in enumerate(zip(subnet.heads, subnet.ratios, strict=True), 1):
            if heads not in self.heads:
                return f"its layer {number} has {heads} heads; expected one of {list(self.heads)}"
            if ratio not in self.ratios:
                return f"its layer {number} has ratio {ratio:g}; expected one of {[*self.ratios]}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}

    def save(self, folder: str | Path) -> None:
        """Write `elastic.json` into the folder of a supernet."""
        write_json(Path(folder) / SPACE_FILE, self.to_dict(), indent=2)

    @classmethod
    def load(cls, given: str | Path | Mapping[str, Any]) -> SubnetSpace:
        """Return a space by name, of a mapping, a JSON text, a JSON file, or a supernet's folder.

        Raises:
            ValueError: there is no such space, or it cannot be one.
        """
        if not isinstance(given, str | Path | Mapping):
            raise ValueError(
                f"the space of subnets is {given!r:.60}; expected {', '.join(SPACES)}, a JSON "
                f"file, or a mapping of {', '.join(FIELDS)} and head_size."
            )
        if isinstance(given, Mapping):
            unknown = sorted({*given} - {*FIELDS, "head_size"})
            missing = [name for name in FIELDS if name not in given]
            if unknown or missing:
                raise ValueError(
                    f"a space of subnets lacks {missing} or names unknown {unknown}; expected "
                    f"{', '.join(FIELDS)} and head_size."
                )
            return cls(**given)
        if str(given) in SPACES:
            return SPACES[str(given)]
        if str(given).lstrip().startswith("{"):
            try:
                return cls.load(json.loads(str(given)))
            except json.JSONDecodeError as error:
                raise ValueError(f"the space of subnets is no JSON ({error}).") from error
        file = Path(given) / SPACE_FILE if Path(given).is_dir() else Path(given)
        content = read_json(file)
        if content is None:
            raise ValueError(
                f"{given} holds no space of subnets; expected {', '.join(SPACES)}, a JSON file "
                f"with {', '.join(FIELDS)}, or a folder with {SPACE_FILE} (of --objective elastic "
                "--stage 2)."
            )
        return cls.load(content)


def draw_subnet(space: SubnetSpace, seed: int, forward: int) -> Subnet:
    """Return the random subnet of one forward: a function of seed and number alone.

    Every rank, and a run that was killed and goes on, draws the same ones.

    Args:
        space: to draw from.
        seed: of the run.
        forward: number of the forward, from 0 on: updates times micro-batches.
    """
    return space.sample(np.random.default_rng(np.random.SeedSequence([seed, forward, 0x5B])))


def _choices(name: str, given: Any) -> tuple[int, ...] | tuple[float, ...]:
    most = MOST_LAYERS if name == "depths" else MOST
    try:
        if name == "ratios":
            values = tuple(sorted(positive_number(name, value) for value in given))
        else:
            values = tuple(sorted(whole_number(name, value, most) for value in given))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} of a space of subnets are {given!r:.200}; expected a list of numbers above 0 "
            f"and up to {most}{'' if name == 'ratios' else ', all whole'}: correct it."
        ) from error
    if not values or len({*values}) < len(values):
        raise ValueError(
            f"{name} of a space of subnets are {given!r:.200}; expected one or more different "
            "numbers above 0."
        )
    return values


SPACES = {
    "lighthubert_base": SubnetSpace((512, 640, 768), (8, 10, 12), (3.5, 4.0), (12,)),
    "lighthubert_small": SubnetSpace((256, 384, 512), (4, 6, 8), (3.0, 3.5, 4.0), (10, 11, 12)),
}
