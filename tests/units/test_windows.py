"""Windows over long recordings: every frame once, in its place, with context around it."""

import numpy as np
import pytest
import torch

from hf_rspin.audio import num_frames
from hf_rspin.units.windows import CONTEXT, WINDOW, chunked_inference


def frame_levels(widths):
    """Name each frame by its samples, and note how much was encoded at once."""

    def levels(values):
        widths.append(num_frames(values.shape[-1]))
        return values.unfold(-1, 400, 320).double().sum(-1)  # (batch, frames)

    return levels


@pytest.mark.parametrize("frames", [1, WINDOW, WINDOW + 1, 2 * WINDOW + 37, 4 * 1300])
def test_frames_are_those_of_the_whole(frames):
    generator = np.random.default_rng(frames)
    values = torch.from_numpy(generator.normal(size=(1, 400 + 320 * (frames - 1) + 5)))
    widths = []
    found = chunked_inference(frame_levels(widths), values, axis=1)
    torch.testing.assert_close(found, frame_levels([])(values), rtol=0, atol=1e-9)
    assert max(widths) <= WINDOW
    assert (len(widths) == 1) == (frames <= WINDOW)


def test_every_frame_away_from_the_ends_has_context():
    def distance_to_edge(values):
        place = torch.arange(num_frames(values.shape[-1]))
        return torch.minimum(place, place.flip(0))[:, None]  # (frames, 1)

    found = chunked_inference(distance_to_edge, torch.zeros(1, 320 * 5000 + 80), axis=0)
    assert found.shape == (5000, 1) and found[CONTEXT:-CONTEXT].min() >= CONTEXT
