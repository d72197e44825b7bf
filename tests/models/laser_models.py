"""Tiny LASER and SCORE models and batches of two views of unequal lengths."""

import torch

from hf_rspin.models import (
    SCORE_SETTINGS,
    LaserHubertConfig,
    LaserHubertModel,
    LaserWavLMConfig,
    LaserWavLMModel,
)

from .conftest import SIZES

LASER = {
    "hubert": (LaserHubertConfig, LaserHubertModel),
    "wavlm": (LaserWavLMConfig, LaserWavLMModel),
}


def build_laser(family, score=False, **options):
    """Return a model in eval mode, with seeded weights."""
    torch.manual_seed(0)
    config_class, model_class = LASER[family]
    settings = SCORE_SETTINGS[family] if score else {}
    return model_class(config_class(**(SIZES | {"projection_size": 8} | settings | options))).eval()


def make_pair(seed=1, clean=(4000, 2800), perturbed=(3600, 3300)):
    """Return a batch of utterances in two views of the given numbers of samples."""
    generator = torch.Generator().manual_seed(seed)
    batch = {}
    for prefix, lengths in (("", clean), ("perturbed_", perturbed)):
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        for row, length in zip(mask, lengths, strict=True):
            row[:length] = 1
        waveforms = 0.1 * torch.randn(mask.shape, generator=generator)
        batch |= {prefix + "input_values": waveforms * mask, prefix + "attention_mask": mask}
    return batch


def rows(batch, index):
    """Return utterance `index` of a batch, alone and without padding."""
    alone = {}
    for prefix in ("", "perturbed_"):
        length = int(batch[prefix + "attention_mask"][index].sum())
        alone[prefix + "input_values"] = batch[prefix + "input_values"][index : index + 1, :length]
    return alone
