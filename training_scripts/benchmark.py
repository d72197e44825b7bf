"""Time the parts of the package on this machine, beside what else computes the same.

    python training_scripts/benchmark.py                     view making, encoder, training steps
    python training_scripts/benchmark.py attention --help    attention, by precision and dropout
    python training_scripts/benchmark.py soft_dtw            soft-DTW
    python training_scripts/benchmark.py adapters --bf16     steps with and without adapters
    python training_scripts/benchmark.py acoustic_pieces     acoustic pieces at scale
    python training_scripts/benchmark.py efficiency          encoders and ways of training
    python training_scripts/benchmark.py scaling             attention and its kin, by length
    python training_scripts/benchmark.py bookkeeping         labels and batches of 60,000 h
    python training_scripts/benchmark.py abx                 ABX errors beside those of fastabx
"""

from __future__ import annotations

import sys
from importlib import import_module

from hf_rspin.device import use_large_allocations

PARTS = (
    "speed", "attention", "soft_dtw", "adapters", "acoustic_pieces", "efficiency", "scaling",
    "bookkeeping", "abx",
)  # fmt: skip


def main() -> None:
    """Run the part that the first argument names; without one, `speed`."""
    use_large_allocations()
    named = len(sys.argv) > 1 and not sys.argv[1].startswith("-")
    part = sys.argv.pop(1) if named else PARTS[0]
    if part not in PARTS:
        sys.exit(f"got the part {part!r}; expected one of {', '.join(PARTS)}.")
    import_module(f"benchmarks.{part}").main()


if __name__ == "__main__":
    main()
