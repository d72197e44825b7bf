"""Tiny teachers in folders, and a few utterances of the sample."""

import shutil

import pytest
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.data import load_corpus
from hf_rspin.resources import sample_folder

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def save_encoder(folder, model_class=HubertModel, config_class=HubertConfig, normalize=False,
                 **options):  # fmt: skip
    torch.manual_seed(1)
    model = model_class(config_class(**SIZES | options)).eval()
    with torch.no_grad():  # layers that are all alike would hide a mistake in their order
        for number, layer in enumerate(model.encoder.layers):
            layer.final_layer_norm.weight.mul_(number + 1)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(folder)
    return model


@pytest.fixture(scope="session")
def hubert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hubert")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="session")
def wavlm(tmp_path_factory):
    """A large-like one of another dimension: pre-norm, and reads normalised waveforms."""
    folder = tmp_path_factory.mktemp("wavlm")
    save_encoder(folder, WavLMModel, WavLMConfig, True, hidden_size=20,
                 do_stable_layer_norm=True, feat_extract_norm="layer")  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(d_model=12, encoder_layers=2, encoder_attention_heads=2,
                           encoder_ffn_dim=24, num_mel_bins=20)  # fmt: skip
    WhisperEncoder(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Eight utterances of the sample, without metadata."""
    folder = tmp_path_factory.mktemp("speech")
    for number, file in enumerate(sorted(sample_folder().rglob("*.flac"))[::15][:8]):
        shutil.copy(file, folder / f"{number}.flac")
    return folder


@pytest.fixture(scope="session")
def corpus(speech):
    return load_corpus(speech)
