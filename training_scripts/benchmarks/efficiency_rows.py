"""The encoders and ways of training that the efficiency table compares, one function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import HubertConfig, PreTrainedConfig, SEWDConfig

from hf_rspin.adapters import AdapterArguments
from hf_rspin.models import RSpinModel
from hf_rspin.models.loading import load_encoder
from hf_rspin.training.freezing import freeze_lower_layers


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        title: how the table calls it.
        config: makes the config of the encoder, of base size with random weights.
        trains: what trains in a step: full, top2, lora or read.
    """

    title: str
    config: Callable[[], PreTrainedConfig]
    trains: str = "full"


def hubert_base() -> PreTrainedConfig:
    """Return HuBERT base."""
    return HubertConfig()


def distilhubert() -> PreTrainedConfig:
    """Return DistilHuBERT: two layers, no norm in front of the projection."""
    return HubertConfig(num_hidden_layers=2, feat_proj_layer_norm=False)


def sew_d() -> PreTrainedConfig:
    """Return SEW-D base."""
    return SEWDConfig()


def mr_hubert() -> PreTrainedConfig:
    """Return MR-HuBERT base, 4-4-4."""
    from hf_rspin import MRHubertConfig

    return MRHubertConfig()


def summary_mixing(mixing: str) -> PreTrainedConfig:
    """Return HuBERT base with SummaryMixing, full or lite."""
    from hf_rspin import SummaryMixingHubertConfig

    return SummaryMixingHubertConfig(mixing=mixing)


def elastic(width: int, depth: int, ratio: float) -> PreTrainedConfig:
    """Return a subnet of LightHuBERT's base space, as it is extracted: a plain HuBERT."""
    return HubertConfig(
        hidden_size=width, num_attention_heads=width // 64, num_hidden_layers=depth,
        intermediate_size=round(ratio * width),
    )  # fmt: skip


ROWS = {
    "hubert": Row("HuBERT base", hubert_base),
    "distilhubert": Row("DistilHuBERT", distilhubert),
    "sew-d": Row("SEW-D base", sew_d),
    "mr-hubert": Row("MR-HuBERT base, 4-4-4", mr_hubert),
    "summary-mixing": Row("HuBERT base, SummaryMixing", lambda: summary_mixing("full")),
    "summary-mixing-lite": Row("HuBERT base, SummaryMixing-lite", lambda: summary_mixing("lite")),
    "elastic-640": Row("elastic subnet, width 640, ratio 3.5", lambda: elastic(640, 12, 3.5)),
    "elastic-512": Row("elastic subnet, width 512, ratio 3.5", lambda: elastic(512, 12, 3.5)),
    "top2": Row("HuBERT base, top 2 layers train", hubert_base, "top2"),
    "lora": Row("HuBERT base, LoRA", hubert_base, "lora"),
    "read": Row("HuBERT base, READ", hubert_base, "read"),
}


def build_encoder_of(row: Row, folder: str | None) -> nn.Module:
    """Return the plain encoder of a row, or that of a folder.

    Args:
        row: ignored where a folder is given.
        folder: of an encoder, or Hub id.
    """
    if folder is not None:
        return load_encoder(folder)
    torch.manual_seed(0)
    return _fresh(row).base_model


def build_training(row: Row, folder: str | None) -> nn.Module:
    """Return a Spin model of a row, what does not train frozen."""
    torch.manual_seed(0)
    model = RSpinModel.from_pretrained(folder) if folder else _fresh(row)
    if row.trains in ("full", "top2"):
        freeze_lower_layers(model, None if row.trains == "full" else 2)
        return model
    return AdapterArguments(row.trains).wrap(model)


def _fresh(row: Row) -> RSpinModel:
    return RSpinModel(RSpinModel.with_fields(row.config()))
