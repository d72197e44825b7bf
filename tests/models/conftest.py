"""Tiny encoders: every test of the models runs over HuBERT and WavLM, post- and pre-norm."""

import importlib
import sys

import pytest
import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from hf_rspin.models import (
    RSpinHubertConfig,
    RSpinHubertModel,
    RSpinWavLMConfig,
    RSpinWavLMModel,
)

PLAIN = {"hubert": (HubertConfig, HubertModel), "wavlm": (WavLMConfig, WavLMModel)}
WITH_HEADS = {
    "hubert": (RSpinHubertConfig, RSpinHubertModel),
    "wavlm": (RSpinWavLMConfig, RSpinWavLMModel),
}
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
HEADS = {"projection_size": 8, "codebook_size": 6, "num_pseudo_labels": 5}
NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0}
# every layer of the front end normalised per frame: then padding changes no valid frame
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}


@pytest.fixture(params=["hubert", "wavlm"])
def family(request):
    """Return the name of an encoder family."""
    return request.param


@pytest.fixture(params=["post-norm", "pre-norm"])
def encoder_options(request):
    """Return the sizes of a base-like and of a large-like encoder."""
    return SIZES if request.param == "post-norm" else SIZES | STABLE


def build(family, **options):
    """Return a model with heads, in eval mode, with seeded weights."""
    torch.manual_seed(0)
    config_class, model_class = WITH_HEADS[family]
    return model_class(config_class(**(SIZES | HEADS | options))).eval()


def make_batch(model, samples=4000, padding=1200, seed=1):
    """Return two views of two utterances, the second padded, and labels where there is a head."""
    generator = torch.Generator().manual_seed(seed)
    clean = 0.1 * torch.randn(2, samples, generator=generator)
    mask = torch.ones(2, samples, dtype=torch.long)
    mask[1, samples - padding :] = 0
    clean = clean * mask
    perturbed = clean + 0.05 * torch.randn(2, samples, generator=generator) * mask
    batch = {"input_values": clean, "attention_mask": mask}
    batch |= {"perturbed_input_values": perturbed, "perturbed_attention_mask": mask}
    if model.config.num_pseudo_labels is not None:
        frames = (samples - 400) // 320 + 1
        batch["labels"] = torch.randint(0, 5, (2, frames), generator=generator)
    return batch


def import_from_folder(folder, module, monkeypatch):
    """Import a module of the code that was saved with a model, as a package of its own."""
    for name in [name for name in sys.modules if name.split(".")[0] == folder.name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder.parent))
    return importlib.import_module(f"{folder.name}.{module}")
