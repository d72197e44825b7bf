import numpy as np
import torch

from hf_rspin.evaluation.probes.trained.spec_augment import SpecAugment, warp_time


def hidden_spans(seen):
    return int((np.diff(np.concatenate([[1], seen.astype(int), [1]])) == -1).sum())


def test_some_frames_and_dimensions_are_hidden_and_the_rest_stays():
    augment = SpecAugment(time_warp=0)
    rng = np.random.default_rng(0)
    lengths = [300, 500]
    frames = torch.rand(800, 768) + 1
    widest = np.zeros(2, int)
    for _ in range(25):
        found = augment(frames, lengths, rng)
        masks = []
        for part, before in zip(found.split(lengths), frames.split(lengths), strict=True):
            times, dims = (part != 0).any(1).numpy(), (part != 0).any(0).numpy()
            assert torch.equal(part[times][:, dims], before[times][:, dims])
            assert not part[~times].any() and not part[:, ~dims].any()
            assert hidden_spans(times) <= 2 and hidden_spans(dims) <= 4
            widest = np.maximum(widest, [(~times).sum(), (~dims).sum()])
            masks.append(dims)
        assert not np.array_equal(*masks) or masks[0].all()  # draws of its own
    assert 50 < widest[0] <= 80 and 120 < widest[1] <= 200


def test_short_utterances_and_small_features_keep_half():
    augment, rng = SpecAugment(), np.random.default_rng(0)
    for length, dim in ((1, 1), (3, 8), (20, 39), (60, 80)):
        for _ in range(30):
            found = augment(torch.ones(length, dim), [length], rng)
            assert found.shape == (length, dim)
            assert (found != 0).any(1).sum() >= length / 2
            assert (found != 0).any(0).sum() >= dim / 2


def test_time_is_warped_by_a_few_frames_and_the_gradient_passes():
    rng = np.random.default_rng(0)
    ramp = torch.arange(100.0)[:, None].requires_grad_()
    moves = []
    for _ in range(100):
        found = warp_time(ramp, 5, rng)
        assert found.shape == ramp.shape and (found.diff(dim=0) >= 0).all()
        assert found[0] < 4 and found[-1] > 95
        moves.append(float((found - ramp).detach().abs().max()))
    assert 3 < max(moves) <= 5.5 and min(moves) == 0
    found.sum().backward()
    assert ramp.grad.sum().item() > 90
    short = torch.rand(11, 2)
    assert torch.equal(warp_time(short, 5, rng), short)
