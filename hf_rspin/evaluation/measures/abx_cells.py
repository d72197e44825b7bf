"""The triples of an ABX test: which spoken tokens may be A, B and X, drawn from their labels.

They depend on labels only: drawn once, they serve every layer, encoder and condition.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np


class AbxCell(NamedTuple):
    """Triples that are averaged first: every A, B and X of it, A and X never the same token.

    Attributes:
        pair: what A (and X) is, and what B is.
        by: what all three share; with `across`, what A and B share, and what X has instead.
        a: token indices of A.
        b: of B.
        x: of X.
    """

    pair: tuple[Hashable, Hashable]
    by: Hashable
    a: np.ndarray
    b: np.ndarray
    x: np.ndarray


def abx_cells(
    on: Sequence[Hashable],
    by: Sequence[Hashable],
    contexts: Sequence[Hashable] | None = None,
    across: bool = False,
    max_items: int | None = 5,
    max_cells: int | None = 8000,
    seed: int = 0,
) -> list[AbxCell]:
    """Return the cells to compare: for every ordered pair of `on`, every `by` and context.

    Phones within speakers: `abx_cells(phones, speakers, contexts)`; across speakers: `across=True`;
    speakers: `abx_cells(speakers, phones, contexts)`.

    Args:
        on: label of each token that A and X share and B has not; labels must sort.
        by: label of each token that all three share.
        contexts: one more label that all three share; None: any context.
        across: A and B share `by`, and X has another.
        max_items: tokens drawn of each kind in a cell; None: all.
        max_cells: cells drawn: one of every pair (or of some pairs), then a second, and so on;
            None: all.
        seed: of both draws.
    """
    generator = np.random.default_rng(seed)
    places = contexts if contexts is not None else [None] * len(on)
    groups: dict[Hashable, dict[Hashable, dict[Hashable, list[int]]]] = {}
    for index, (kind, share, context) in enumerate(zip(on, by, places, strict=True)):
        groups.setdefault(context, {}).setdefault(share, {}).setdefault(kind, []).append(index)
    drawn = {
        context: {share: _drawn(kinds, max_items, generator) for share, kinds in shares.items()}
        for context, shares in groups.items()
    }
    where: dict[tuple, list[tuple]] = {}  # pair -> (context, share) with both
    for context, shares in drawn.items():
        for share, kinds in shares.items():
            for pair in permutations(sorted(kinds), 2):
                if across or len(kinds[pair[0]]) > 1:
                    where.setdefault(pair, []).append((context, share))
    pairs = sorted(where)
    order = generator.permutation(len(pairs))
    streams = [_cells_of(pairs[i], where[pairs[i]], drawn, across, generator) for i in order]
    return _in_turn(streams, max_cells)


def tokens_of(cells: Sequence[AbxCell]) -> list[int]:
    """Return the indices of all tokens in cells, in order."""
    arrays = [tokens for cell in cells for tokens in (cell.a, cell.b, cell.x)]
    return np.unique(np.concatenate(arrays)).tolist() if arrays else []


def _drawn(
    kinds: dict[Hashable, list[int]], count: int | None, generator: np.random.Generator
) -> dict[Hashable, np.ndarray]:
    found = {}
    for kind, members in kinds.items():
        few = count is None or len(members) <= count
        found[kind] = np.array(members) if few else np.sort(generator.permutation(members)[:count])
    return found


def _cells_of(
    pair: tuple,
    places: list[tuple],
    drawn: dict,
    across: bool,
    generator: np.random.Generator,
) -> Iterator[AbxCell]:
    """Yield the cells of a pair in random order; with `across`, every place once, then again."""
    places = [places[i] for i in generator.permutation(len(places))]
    if not across:
        for context, share in places:
            a, b = (drawn[context][share][kind] for kind in pair)
            yield AbxCell(pair, share, a, b, a)
        return
    others = {}  # place -> what X may have instead, in random order
    for context, share in places:
        found = [o for o, kinds in drawn[context].items() if o != share and pair[0] in kinds]
        others[context, share] = [found[i] for i in generator.permutation(len(found))]
    for turn in range(max(map(len, others.values()))):
        for (context, share), found in others.items():
            if turn < len(found):
                a, b = (drawn[context][share][kind] for kind in pair)
                x = drawn[context][found[turn]][pair[0]]
                yield AbxCell(pair, (share, found[turn]), a, b, x)


def _in_turn(streams: list[Iterator[AbxCell]], count: int | None) -> list[AbxCell]:
    """Take one cell of each stream, then the second of each, up to a number of cells."""
    cells: list[AbxCell] = []
    while streams and (count is None or len(cells) < count):
        left = []
        for stream in streams:
            if count is not None and len(cells) >= count:
                break
            cell = next(stream, None)
            if cell is not None:
                cells.append(cell)
                left.append(stream)
        streams = left
    return cells
