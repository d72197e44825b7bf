"""A small corpus with everything that comes along, and small models for it."""

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.units import AcousticPieces, KMeans, UnitTokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def noise(seconds, seed):
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(round(16_000 * seconds))).astype("f4")


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """Six utterances, a recording of 70 s, silence, a broken file and a damaged one."""
    folder = tmp_path_factory.mktemp("speech")
    for number in range(6):
        soundfile.write(folder / f"{number}.wav", noise(0.5 + 0.3 * number, number), 16_000)
    soundfile.write(folder / "long.flac", noise(70, 9), 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    (folder / "broken.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="session")
def spin_folder(tmp_path_factory):
    """A Spin model with acoustic pieces of its units."""
    folder = tmp_path_factory.mktemp("model") / "spin"
    torch.manual_seed(0)
    model = RSpinHubertModel(RSpinHubertConfig(**SIZES, projection_size=8, codebook_size=12))
    tokenizer = UnitTokenizer(model.eval())
    units = [one.units for one in tokenizer([noise(3, 50), noise(3, 51)])]
    tokenizer.use_pieces(AcousticPieces.train(units, 30, progress=False))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "encoder"
    torch.manual_seed(0)
    HubertModel(HubertConfig(**SIZES)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def centres_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "centres.npy"
    np.save(path, KMeans(5).fit_stream([np.random.default_rng(0).normal(size=(60, 32))])
            .cluster_centers)  # fmt: skip
    return path
