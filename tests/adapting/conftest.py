"""Recordings of every kind, made of the sample, and a tiny encoder."""

import numpy as np
import pytest
import soundfile
import soxr
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.audio import read_audio
from hf_rspin.resources import sample_folder


def spoken(count, first=0, rate=16_000):
    """Return utterances (samples,) of the sample at a rate in Hz."""
    files = sorted(sample_folder().rglob("*.flac"))[first : first + count]
    return [soxr.resample(read_audio(file), 16_000, rate) for file in files]


def call(utterances, rate):
    """Return two speakers in turn (samples, 2), the other side almost silent meanwhile."""
    generator = np.random.default_rng(0)
    sides = [[], []]
    for turn, one in enumerate(utterances):
        pause = 1e-4 * generator.standard_normal((2, len(one) + rate))
        pause[turn % 2, : len(one)] += one
        for side, part in zip(sides, pause, strict=True):
            side.append(part)
    return np.stack([np.concatenate(side) for side in sides], axis=1)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Two stereo calls of 8 kHz, a long file, ogg and mp3 below, and what is no recording."""
    folder = tmp_path_factory.mktemp("own") / "recordings"
    deep = folder / "a" / "b"
    deep.mkdir(parents=True)
    for number in range(2):
        samples = call(spoken(4, 4 * number, 8000), 8000)
        soundfile.write(folder / f"call_{number}.wav", samples, 8000, subtype="ULAW")
    gap = np.zeros(32_000, np.float32)
    parts = [part for one in spoken(5, 8) for part in (one, gap)]
    soundfile.write(folder / "long.flac", np.concatenate(parts), 16_000)
    (one, two) = spoken(2, 13)
    soundfile.write(deep / "one.ogg", one, 16_000)
    soundfile.write(deep / "two.mp3", soxr.resample(two, 16_000, 44_100), 44_100)
    (deep / "broken.wav").write_bytes(b"RIFF is not enough")
    (deep / "notes.txt").write_text("no audio")
    soundfile.write(folder / "silent.wav", np.zeros(40_000), 16_000)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a HuBERT of 3 layers."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    return folder
