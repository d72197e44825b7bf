"""Layers of Whisper's encoder as features to cluster."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.audio import num_frames
from hf_rspin.models.whisper_encoder import WhisperFrames
from hf_rspin.units import KMeans, WhisperLayerFeatures, fit_kmeans, kmeans_units


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24,
        num_mel_bins=20,
    )  # fmt: skip
    return WhisperFrames(WhisperEncoder(config), WhisperFeatureExtractor(20), bf16=False)


def speech(samples, seed):
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype("f4")


def test_the_features_are_one_hidden_state(encoder):
    waveforms = [speech(9000, 0), speech(20000, 1)]
    expected = encoder.states(waveforms)
    for layer in (0, 1, -1):
        found = WhisperLayerFeatures(encoder, layer).batch(waveforms)
        for one, states in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, states[layer].numpy(), atol=1e-6)
    alone = WhisperLayerFeatures(encoder, 2)(waveforms[0])
    np.testing.assert_allclose(alone, encoder.states(waveforms[:1])[0][2].numpy(), atol=1e-6)
    for wrong in (3, -4):
        with pytest.raises(ValueError, match="this encoder has hidden_states 0 to 2"):
            WhisperLayerFeatures(encoder, wrong)


def test_k_means_shares_windows_in_fitting_and_in_use(encoder, tmp_path, monkeypatch):
    sources = []
    for number in range(6):
        sources.append(tmp_path / f"{number}.wav")
        soundfile.write(sources[-1], speech(16000 + 320 * number, number), 16000)
    windows = []
    encode = encoder._encode
    monkeypatch.setattr(
        encoder, "_encode", lambda *given: windows.extend(given[0]) or encode(*given)
    )
    features = WhisperLayerFeatures(encoder, 1)
    kmeans = fit_kmeans(
        KMeans(5), features, sources, batch_frames=150, progress=False, standardize=True
    )
    # the first is the sound by which the features are known again
    assert [len(window) for window in windows] == [1, 3, 3]
    assert kmeans.counts.sum() == sum(num_frames(16000 + 320 * number) for number in range(6))
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in sources[:2]]
    extractor = kmeans_units(features, kmeans)
    for units, found in zip(
        extractor.extract(waveforms), features.batch(waveforms), strict=True
    ):
        np.testing.assert_array_equal(units, kmeans.predict(found))
    assert extractor.pads
