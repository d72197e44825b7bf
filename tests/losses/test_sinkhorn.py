import math
from importlib import import_module

import pytest
import torch

from hf_rspin.losses import sinkhorn


def reference(logits, epsilon, num_iterations):
    """The published recipe, entry by entry, in the log domain and float64."""
    log_weights = logits.double() / epsilon
    frames, codes = log_weights.shape
    for _ in range(num_iterations):
        for code in range(codes):
            log_weights[:, code] -= torch.logsumexp(log_weights[:, code], 0)
        log_weights -= math.log(codes)
        for frame in range(frames):
            log_weights[frame] -= torch.logsumexp(log_weights[frame], 0)
        log_weights -= math.log(frames)
    return frames * torch.exp(log_weights)


@pytest.mark.parametrize("num_iterations", [1, 2, 3, 10])
@pytest.mark.parametrize("epsilon", [0.02, 0.5])
def test_equals_the_entrywise_recipe(num_iterations, epsilon):
    torch.manual_seed(num_iterations)
    logits = torch.rand(23, 7, dtype=torch.float64) * 2 - 1
    found = sinkhorn(logits, epsilon, num_iterations)
    torch.testing.assert_close(found, reference(logits, epsilon, num_iterations), rtol=1e-9, atol=0)


def test_many_iterations_use_every_code_equally():
    torch.manual_seed(0)
    logits = torch.rand(60, 5, dtype=torch.float64)
    assignments = sinkhorn(logits, epsilon=0.1, num_iterations=500)
    torch.testing.assert_close(assignments.sum(1), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(assignments.mean(0), torch.full((5,), 0.2, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1, 2, 20])
def test_float32_survives_what_the_plain_form_does_not(scale):
    torch.manual_seed(1)
    logits = torch.randn(40, 6)
    logits[0] -= 3  # a frame far from every code
    logits[:, 0] -= 3  # a code far from every frame
    logits[7, 3] += 3
    logits = (scale * logits).half()
    found = sinkhorn(logits)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), reference(logits, 0.02, 3), rtol=2e-3, atol=1e-6)


def test_leaves_its_input_alone_and_carries_no_gradient():
    logits = torch.rand(9, 4, requires_grad=True)
    before = logits.detach().clone()
    assert not sinkhorn(logits).requires_grad
    assert torch.equal(logits, before)


def test_pieces_of_any_size_give_the_same(monkeypatch):
    torch.manual_seed(2)
    logits = torch.rand(31, 6, dtype=torch.float64)
    whole = sinkhorn(logits)
    monkeypatch.setattr(import_module("hf_rspin.losses.sinkhorn"), "CHUNK_ENTRIES", 24)
    torch.testing.assert_close(sinkhorn(logits), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (torch.zeros(2, 3, 4), {}, r"\(2, 3, 4\); expected \(frames, codes\)"),
        (torch.zeros(3, 4), {"epsilon": 0.0}, "epsilon is 0.0; expected a positive"),
        (torch.zeros(3, 4), {"num_iterations": 0}, "num_iterations is 0; expected at least 1"),
    ],
)
def test_refuses_what_makes_no_sense(logits, options, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(logits, **options)
