"""Our ABX errors are those of fastabx, cell by cell; test_abx.py tries all triples itself."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastabx", reason="fastabx (extra abx) needs Python 3.12")
sys.path.append(str(Path(__file__).parents[3] / "training_scripts"))

from benchmarks.abx import fastabx_errors, our_errors  # noqa: E402


@pytest.mark.parametrize("across", [False, True])
def test_every_cell_has_the_error_of_fastabx(across):
    generator = np.random.default_rng(0)
    phones, speakers = (generator.choice(list(names), 90).tolist() for names in ("abcd", "stu"))
    tokens = [generator.standard_normal((n, 6)).astype("f4") for n in generator.integers(1, 9, 90)]
    error, ours = our_errors(tokens, phones, speakers, across)
    theirs = fastabx_errors(tokens, phones, speakers, across)
    assert len(ours) == 12 * 3 * (2 if across else 1) and 0.3 < error < 0.7
    assert ours == pytest.approx(theirs, abs=1e-6)
