"""Folders of every family, as transformers saves them, give features at 50 frames per second."""

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, MODEL_MAPPING, HubertConfig, HubertModel

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import load_features
from hf_rspin.evaluation.features import gflops_per_second
from hf_rspin.models.encoder import FAMILIES

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2), "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
OTHERS = {
    "data2vec-audio": {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    "sew-d": {"position_buckets": 8, "max_position_embeddings": 32, "num_conv_pos_embeddings": 8},
    "mr-hubert": {"num_hidden_layers": 3, "num_conv_pos_embeddings": 8},
}
ODD, EVEN = 400 + 320 * 8, 400 + 320 * 9  # samples of 9 and 10 frames


def save(family, folder):
    """Save a tiny encoder as transformers does; return it."""
    torch.manual_seed(0)
    options = SIZES | OTHERS.get(family, {"num_conv_pos_embeddings": 8})
    model = MODEL_MAPPING[CONFIG_MAPPING[family]](CONFIG_MAPPING[family](**options)).eval()
    model.save_pretrained(folder)
    return model


def noise(samples):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def hidden_states(model, waveform):
    return model(torch.from_numpy(waveform)[None], output_hidden_states=True).hidden_states


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("samples", [ODD, EVEN])
def test_every_family_has_the_frames_of_the_labels(family, samples, tmp_path):
    model = save(family, tmp_path)
    features = load_features(tmp_path, bf16=False)
    assert features.normalize is (family == "data2vec-audio")
    waveform = noise(samples)
    if features.normalize:  # of mean 0 and variance 1 already, it changes nothing
        waveform = (waveform - waveform.mean()) / waveform.std()
    found = features(waveform)
    assert found.shape == (features.num_layers, num_frames(samples), features.dim) == (
        model.config.num_hidden_layers + 1, (samples - 400) // 320 + 1, 16
    )  # fmt: skip
    assert found.dtype == torch.float32 and torch.isfinite(found).all()
    assert found[1].std() > 0 and not torch.equal(found[1], found[2])
    if not family.startswith("sew"):
        expected = torch.cat(hidden_states(model, waveform))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert features.fingerprint() == load_features(tmp_path, bf16=False).fingerprint()
    assert gflops_per_second(features) > 0


@pytest.mark.parametrize("samples", [ODD, EVEN])
@pytest.mark.parametrize("family", ["sew", "sew-d"])
def test_the_25_frames_of_sew_are_given_twice(family, samples, tmp_path):
    model = save(family, tmp_path)
    waveform = noise(samples)
    found = load_features(tmp_path, bf16=False)(waveform)
    inner = hidden_states(model, waveform)[:-1]
    pairs = num_frames(samples) // 2
    assert [state.shape[1] for state in inner] == [pairs] * len(inner)
    for one, state in zip(found[:-1], inner, strict=True):
        for half in (0, 1):
            torch.testing.assert_close(
                one[half : 2 * pairs : 2], state[0], rtol=1e-4, atol=1e-5
            )  # fmt: skip
    output = model(torch.from_numpy(waveform)[None]).last_hidden_state[0]
    torch.testing.assert_close(found[-1], output, rtol=1e-4, atol=1e-5)
    assert not found[:, 2 * pairs :].any()  # of an odd frame at the end there is nothing to say


class HubertModelWithFinalProj(HubertModel):
    """The class that ContentVec on the Hub was saved with: its projection is of no use here."""

    def __init__(self, config):
        super().__init__(config)
        self.final_proj = torch.nn.Linear(config.hidden_size, config.classifier_proj_size)


@pytest.mark.parametrize("kind", ["contentvec", "distilhubert"])
def test_relatives_of_hubert_as_their_authors_publish_them(kind, tmp_path):
    torch.manual_seed(0)
    config = HubertConfig(
        **SIZES, num_conv_pos_embeddings=8, feat_proj_layer_norm=kind == "contentvec"
    )
    model = (HubertModelWithFinalProj if kind == "contentvec" else HubertModel)(config).eval()
    model.save_pretrained(tmp_path)
    found = load_features(tmp_path, bf16=False)(noise(EVEN))
    expected = torch.cat(hidden_states(model, noise(EVEN)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
