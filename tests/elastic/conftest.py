"""A tiny HuBERT with a space of subnets, and a few utterances of the sample."""

import shutil

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.elastic import SubnetSpace
from hf_rspin.resources import sample_folder

SPACE = {"widths": [16, 24, 32], "heads": [2, 3, 4], "ratios": [3.0, 3.5, 4.0],
         "depths": [2, 3], "head_size": 8}  # fmt: skip
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
}  # fmt: skip


def tiny(**options):
    """Return a HuBERT of random weights that are large enough to tell a mistake."""
    torch.manual_seed(0)
    encoder = HubertModel(HubertConfig(**SIZES | options)).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.2)
    return encoder


@pytest.fixture
def space():
    return SubnetSpace.load(SPACE)


@pytest.fixture
def encoder():
    return tiny()


@pytest.fixture(scope="session")
def waveforms():
    """Two waveforms, the second with padding, and their mask."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 4000)).astype(np.float32))
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2500:] = 0
    return values, mask


@pytest.fixture(scope="session")
def hubert(tmp_path_factory):
    """A folder."""
    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(1)
    HubertModel(HubertConfig(**SIZES, hidden_dropout=0.1)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Six utterances of the sample, without metadata."""
    folder = tmp_path_factory.mktemp("speech")
    for number, file in enumerate(sorted(sample_folder().rglob("*.flac"))[::20][:6]):
        shutil.copy(file, folder / f"{number}.flac")
    return folder
