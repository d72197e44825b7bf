import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return HubertModel(HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )).eval()


@pytest.fixture
def waveform():
    return np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
