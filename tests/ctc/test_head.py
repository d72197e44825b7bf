import numpy as np
import pytest
import torch
from torch import nn

from hf_rspin.ctc.head import class_prior, init_bias_from_prior


def test_the_prior_counts_tokens_and_leaves_the_rest_to_the_blank():
    prior = class_prior([[1, 1, 2], [1]], num_classes=4, num_frames=100)
    assert prior.sum() == pytest.approx(1) and prior[0] == pytest.approx(0.96, abs=0.02)
    assert prior[1] / prior[2] == pytest.approx(3.5 / 1.5) and prior[3] > 0


def test_a_fresh_head_predicts_the_prior_and_a_trained_one_is_left():
    prior = np.array([0.9, 0.08, 0.02])
    head = nn.Linear(4, 3)
    nn.init.zeros_(head.bias)
    init_bias_from_prior(head, prior)
    np.testing.assert_allclose(head(torch.zeros(4)).softmax(-1).detach(), prior, rtol=1e-5)
    init_bias_from_prior(head, prior[::-1].copy())
    np.testing.assert_allclose(head(torch.zeros(4)).softmax(-1).detach(), prior, rtol=1e-5)
