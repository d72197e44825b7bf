"""Tiny encoders, and runs of every objective on them."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import CONFIG_MAPPING, MODEL_MAPPING

from hf_rspin.models.encoder import FAMILIES

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
# convolutions of 400 samples every 320, where a family has other ones by default
SEWD = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
OPTIONS = {"sew": SEWD, "sew-d": SEWD, "wav2vec2-conformer": {"vocab_size": 32}}


def build(family="hubert", **options):
    """Return a plain encoder in eval mode, with seeded weights."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**{**SIZES, **OPTIONS.get(family, {}), **options})
    return MODEL_MAPPING[type(config)](config).eval()


@pytest.fixture(scope="session")
def encoder_folders(tmp_path_factory):
    """Folders of plain encoders by type."""
    folders = {}
    for family in FAMILIES:
        folders[family] = tmp_path_factory.mktemp(family)
        build(family).save_pretrained(folders[family])
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
