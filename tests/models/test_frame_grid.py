"""Features from the frames of one encoder at those of another: linear in time, held at the ends."""

import pytest
import torch
from transformers import HubertConfig

from hf_rspin.models.frame_grid import (
    ENCODER_FRAMES,
    WHISPER_FRAMES,
    FrameGrid,
    between_frames,
)

BUNDLED = {"conv_dim": (8,) * 3, "conv_kernel": (160, 16, 1), "conv_stride": (16, 20, 1)}


def centres(grid, count):
    return grid.offset + grid.shift * torch.arange(count, dtype=torch.float64)


def test_whisper_at_the_frames_of_hubert():
    features = torch.randn(20, 3, 4, dtype=torch.float64)
    found = between_frames(features, WHISPER_FRAMES, ENCODER_FRAMES, 19)
    torch.testing.assert_close(found, 0.375 * features[:-1] + 0.625 * features[1:])


def test_hubert_at_the_frames_of_whisper():
    features = torch.randn(5, 2, dtype=torch.float64)
    found = between_frames(features, ENCODER_FRAMES, WHISPER_FRAMES, 6)
    inner = 0.625 * features[:-1] + 0.375 * features[1:]
    torch.testing.assert_close(found, torch.cat([features[:1], inner, features[-1:]]))


@pytest.mark.parametrize("source", [(320, 200), (160, 80), (640, 0), (441, 13.5)])
@pytest.mark.parametrize("target", [(320, 200), (320, 0), (200, 150), (500, 777)])
def test_a_ramp_in_time_stays_one_and_ends_are_held(source, target):
    source, target = FrameGrid(*source), FrameGrid(*target)
    times = centres(source, 12)
    count = 10
    found = between_frames(torch.stack([times, -2 * times + 1], 1), source, target, count)
    wanted = centres(target, count).clamp(times[0], times[-1])
    assert found.dtype == torch.float64 and found.shape == (count, 2)
    torch.testing.assert_close(found[:, 0], wanted, rtol=1e-6, atol=1e-2)
    torch.testing.assert_close(found[:, 1], -2 * wanted + 1, rtol=1e-6, atol=2e-2)


def test_the_same_frames_are_the_same_values():
    features = torch.randn(6, 2)
    assert torch.equal(between_frames(features, ENCODER_FRAMES, ENCODER_FRAMES, 4), features[:4])
    longer = between_frames(features, ENCODER_FRAMES, ENCODER_FRAMES, 8)
    assert torch.equal(longer, torch.cat([features, features[-1:], features[-1:]]))


@pytest.mark.parametrize("target", [ENCODER_FRAMES, WHISPER_FRAMES])
def test_one_frame_stands_for_all(target):
    features = torch.randn(1, 3)
    assert torch.equal(between_frames(features, WHISPER_FRAMES, target, 4), features.expand(4, 3))


def test_half_precision_stays():
    features = torch.randn(6, 2).bfloat16()
    assert between_frames(features, WHISPER_FRAMES, ENCODER_FRAMES, 5).dtype == torch.bfloat16


def test_the_centre_of_a_grid_is_where_an_encoder_listens():
    """The first frame of a stack of convolutions of ones weighs its window evenly around it."""
    config = HubertConfig(**BUNDLED)
    impulse = torch.eye(400, dtype=torch.float64)[:, None]
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        weight = torch.ones(1, 1, kernel, dtype=torch.float64)
        impulse = torch.nn.functional.conv1d(impulse, weight, stride=stride)
    weights = impulse[:, 0, 0]  # of each sample in frame 0
    mean = (weights * (torch.arange(400) + 0.5)).sum() / weights.sum()
    assert mean.item() == pytest.approx(ENCODER_FRAMES.offset, abs=0.5)
