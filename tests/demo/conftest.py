"""A folder as quickstart leaves it, with a tiny R-Spin model; a workshop that knows it."""

import numpy as np
import pytest
import torch

from hf_rspin.audio import read_audio
from hf_rspin.demo.models import find_models
from hf_rspin.demo.recordings import sample_utterances
from hf_rspin.demo.work import Workshop
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.models.loading import load_encoder
from hf_rspin.resources import encoder_folder
from hf_rspin.units import AcousticPieces, KMeans, UnitTokenizer, layer_features

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "projection_size": 8,
    "codebook_size": 12,
}


@pytest.fixture(scope="session")
def recordings():
    return list(sample_utterances().values())


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory, recordings):
    """R-Spin model, k-means of the bundled encoder's layer 5, acoustic pieces of those."""
    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    encoder = load_encoder(encoder_folder())
    waveforms = [read_audio(path) for path in recordings[:10]]
    features = layer_features(encoder, 5)
    kmeans = KMeans(30, source="layer 5")
    kmeans.partial_fit(np.concatenate([features(waveform) for waveform in waveforms]))
    kmeans.save_pretrained(folder / "kmeans")
    found = UnitTokenizer(encoder, "layer", kmeans, 5)(waveforms)
    pieces = AcousticPieces.train([one.units for one in found], 40, progress=False)
    pieces.save_pretrained(folder / "acoustic_pieces")
    torch.manual_seed(0)
    config = RSpinHubertConfig(**TINY, num_pseudo_labels=pieces.num_labels)
    RSpinHubertModel(config).save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory, quickstart):
    cache = str(tmp_path_factory.mktemp("cache"))
    # not the runs of whoever runs the tests
    return Workshop(find_models("bundled", str(quickstart), quickstart.parent), 20, cache)
