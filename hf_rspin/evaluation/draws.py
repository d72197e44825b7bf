"""Figures on speakers drawn again: what paired tests of encoders compare.

An interval comes of a figure on many draws of speakers. Draws of one seed from the same speakers
are the same for every encoder, so that draw by draw the differences of two encoders are paired,
whatever the figure is: a rate, an information, a correlation.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_rspin.evaluation.measures.bootstrap import Interval, PairedDifference, two_sided_p

# Draws that are equal for two encoders must stay so: they are kept as they are.
_TYPE, _TIE, _MOST = np.dtype("<f4"), 1e-6, 1000


@dataclass(frozen=True)
class Draws:
    """A figure on each draw, as it lies in the file of a cell.

    Args:
        values: of the figure, base64 of little-endian float32; the first 1,000.
        units: how many speakers (words, pairs) were drawn from.
        of: which these are, see `sample_key`: draws of equal `of` belong together, one by one.
    """

    values: str
    units: int
    of: str

    @classmethod
    def of_interval(cls, found: Interval) -> Draws | None:
        """Return the draws of an interval; None where there are none, or no figure."""
        if found.draws is None or not np.isfinite(found.value):
            return None
        packed = np.asarray(found.draws[:_MOST]).astype(_TYPE).tobytes()
        return cls(base64.b64encode(packed).decode(), found.units, found.of)

    @cached_property
    def array(self) -> np.ndarray:
        """Return the figures, (draws,) float64; nan where a draw has none."""
        return np.frombuffer(base64.b64decode(self.values), _TYPE).astype(np.float64)

    def pairs_with(self, other: Draws) -> bool:
        """Say whether the same were drawn for both."""
        mine, others = ((one.of, one.units, len(one.array)) for one in (self, other))
        return mine == others


def difference_of_draws(
    first: Sequence[tuple[float, Draws]], second: Sequence[tuple[float, Draws]]
) -> PairedDifference | None:
    """Compare a figure of two encoders on the same draws, each averaged over its seeds.

    Args:
        first: figure and draws of the encoder that differences refer to, one per seed.
        second: of the other encoder, of the same seeds.

    Returns:
        Second minus first with its interval (2.5 and 97.5 % of the draws) and p-value, 1 where
        seeds disagree on the sign. None where the draws are not of the same.

    Example:
        >>> from hf_rspin.evaluation.measures.bootstrap import bootstrap_interval
        >>> from hf_rspin.evaluation.measures.error_rates import ErrorCounts
        >>> lengths = np.full(8, 10)
        >>> rates = [bootstrap_interval(ErrorCounts(np.full(8, k), lengths)) for k in (3, 1)]
        >>> pair = [[(rate.value, Draws.of_interval(rate))] for rate in rates]
        >>> round(difference_of_draws(*pair).value, 3)
        -0.2
    """
    start = first[0][1]
    if not all(draws.pairs_with(start) for _, draws in (*first, *second)):
        return None
    sides = [np.mean([draws.array for _, draws in side], axis=0) for side in (first, second)]
    found = sides[1] - sides[0]
    found = found[np.isfinite(found)]
    found[np.abs(found) < _TIE] = 0.0  # a mean of seeds rounds
    if not len(found):
        return None
    by_seed = [late - early for (early, _), (late, _) in zip(first, second, strict=True)]
    agree = len(set(np.sign(by_seed).tolist())) == 1
    low, high = np.percentile(found, (2.5, 97.5))
    p_value = two_sided_p(found, start.units) if agree else 1.0
    return PairedDifference(float(np.mean(by_seed)), float(low), float(high), p_value)
