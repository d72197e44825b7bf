"""Random numbers that depend on what is drawn, never on who draws it or when."""

from __future__ import annotations

import numpy as np


def example_generator(seed: int, epoch: int, index: int, view: int) -> np.random.Generator:
    """Return the generator of one view of one example in one epoch.

    The same four numbers give the same draws at any number of workers and after a resume; the
    authors' random state repeats in every worker and every epoch instead.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, index, view]))
