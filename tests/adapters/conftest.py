"""Tiny encoders, and runs of every objective on them."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
PLAIN = {"hubert": (HubertConfig, HubertModel), "wavlm": (WavLMConfig, WavLMModel)}


@pytest.fixture(scope="session")
def encoder_folders(tmp_path_factory):
    """Folders of plain encoders by type."""
    folders = {}
    for family, (config_class, model_class) in PLAIN.items():
        torch.manual_seed(0)
        folders[family] = tmp_path_factory.mktemp(family)
        model_class(config_class(**SIZES)).save_pretrained(folders[family])
    return folders


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    """A folder with 8 noises of 0.6 to 1.2 seconds."""
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for index in range(8):
        samples = 0.1 * generator.standard_normal(int(generator.uniform(0.6, 1.2) * 16_000))
        soundfile.write(folder / f"u{index:02d}.wav", samples, 16_000)
    return folder


@pytest.fixture
def waveforms():
    """Two noises, (batch, samples)."""
    return 0.1 * torch.randn(2, 6400, generator=torch.Generator().manual_seed(1))
