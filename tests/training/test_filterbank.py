"""The filter bank that a small encoder starts from, measured with tones."""

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.audio import num_frames
from hf_rspin.training.filterbank import gabor_filters, start_as_filterbank


def tone(hertz, seconds=1.0):
    return torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * 16000)) / 16000)


def test_filters_have_unit_gain_at_their_centre_and_little_far_from_it():
    filters = gabor_filters(128, 160).double().numpy()[:, 0]
    response = np.abs(np.fft.rfft(filters, 16000))  # one bin per Hz
    peaks = response.argmax(axis=1)
    np.testing.assert_allclose(response[4:].max(axis=1), 1.0, atol=0.06)
    assert (np.diff(peaks[::4]) > 0).all() and 60 <= peaks[4] and peaks[-1] <= 7600
    for row in (20, 60, 100):
        far = np.abs(np.arange(8001) - peaks[row]) > 4 * (peaks[row + 4] - peaks[row - 4])
        assert response[row][far].max() < 0.02


def test_the_channels_of_a_band_are_a_quarter_turn_apart():
    filters = gabor_filters(64, 160)[:, 0].reshape(16, 4, 160)
    torch.testing.assert_close(filters[:, 0], -filters[:, 2])
    torch.testing.assert_close(filters[:, 1], -filters[:, 3])
    overlap = (filters[2:, 0] * filters[2:, 1]).sum(-1) / (filters[2:, 0] ** 2).sum(-1)
    assert overlap.abs().max() < 0.02


def test_channels_that_are_no_multiple_of_four_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        gabor_filters(30, 160)


@pytest.fixture
def encoder():
    config = HubertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[128, 64, 32],
        conv_kernel=[160, 16, 1],
        conv_stride=[16, 20, 1],
        num_conv_pos_embedding_groups=2,
    )
    model = HubertModel(config).eval()
    start_as_filterbank(model, torch.Generator().manual_seed(0))
    return model


def test_a_steady_tone_gives_steady_frames_and_tones_differ(encoder):
    first, second = encoder.feature_extractor.conv_layers[:2]

    def frames(hertz):
        with torch.no_grad():
            return second.conv(torch.relu(first.conv(tone(hertz)[None, None])))[0]  # no GroupNorm

    outputs = {hertz: frames(hertz) for hertz in (430, 1130, 3170)}
    for output in outputs.values():
        centre = output.mean(dim=1, keepdim=True)
        assert (output - centre).norm() < 0.05 * output.norm()
    a, b, c = (output.mean(dim=1) for output in outputs.values())
    assert torch.cosine_similarity(a, b, dim=0) < 0.6
    assert torch.cosine_similarity(b, c, dim=0) < 0.6


@pytest.mark.parametrize("samples", [400, 719, 720, 16000, 12345])
def test_frames_are_those_of_the_published_front_end(encoder, samples):
    with torch.no_grad():
        assert encoder(torch.randn(1, samples)).last_hidden_state.shape[1] == num_frames(samples)
