"""States of frozen layers on disk belong to the whole waveform that they were made of."""

import torch

from hf_rspin.training.state_cache import LowerStateCache

from .tiny_laser import laser_model


def test_waveforms_that_begin_alike_do_not_share_their_states(tmp_path):
    model = laser_model().eval()
    model.num_frozen_layers = 2
    cache = LowerStateCache(tmp_path / "cache", model)
    first = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    second = first.clone()
    second[:, -1000:] *= -1
    with torch.no_grad():
        for waveform in (first, second, first[:, :7000]):
            expected = model.lower_states(waveform)
            for _ in range(2):  # computed, then read
                mask = torch.ones_like(waveform, dtype=torch.long)
                torch.testing.assert_close(cache.states(waveform, mask), expected)
    assert (cache.misses, cache.hits) == (3, 3)
