"""An encoder of any known type with a CTC head, and what of it trains."""

from __future__ import annotations

from typing import Any

import numpy as np
from peft import PeftModel
from transformers import CONFIG_MAPPING, PreTrainedModel, PreTrainedTokenizer

from hf_rspin.adapters import AdapterArguments
from hf_rspin.ctc.head import init_bias_from_prior
from hf_rspin.models.attention import choose_attention
from hf_rspin.training.builders import build_model
from hf_rspin.training.freezing import freeze_lower_layers

HEAD = "lm_head"
FROM_VOCABULARY = ("vocab_size", "pad_token_id")


def build_ctc(
    encoder: str,
    changes: dict[str, Any],
    tokenizer: PreTrainedTokenizer,
    adapter: AdapterArguments | None = None,
    prior: np.ndarray | None = None,
    freeze_feature_encoder: bool = True,
    num_trainable_layers: int | None = None,
) -> PreTrainedModel | PeftModel:
    """Load the encoder with a CTC head, in float32, a fresh one where the sizes differ.

    Args:
        encoder: folder, Hub id or bundled.
        changes: config fields that differ from the folder's.
        tokenizer: its tokens are the classes.
        adapter: adapter to train with the head, instead of the encoder.
        prior: how often each class comes (classes,), where a fresh head starts.
        freeze_feature_encoder: the convolutions keep their weights.
        num_trainable_layers: top transformer layers that train; None for all.

    Raises:
        ValueError: see `build_model` and `freeze_lower_layers`.
    """
    model = build_model(
        encoder, None, lambda model_type: _changes(model_type, tokenizer, changes)
    )
    choose_attention(model.base_model)
    if prior is not None:
        init_bias_from_prior(model.lm_head, prior)
    if adapter is None or adapter.adapter == "none":
        _freeze(model, freeze_feature_encoder, num_trainable_layers)
        return model
    _freeze(model)
    return adapter.wrap(model, (HEAD,), num_trainable_layers)


def _changes(model_type: str, tokenizer: PreTrainedTokenizer, given: dict) -> dict:
    for name in FROM_VOCABULARY:
        if name in given:
            raise ValueError(f"encoder_config names {name}, which the corpus decides.")
    has_switch = "apply_spec_augment" in CONFIG_MAPPING[model_type].__dataclass_fields__
    return {
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
        **({"apply_spec_augment": False} if has_switch else {"mask_time_prob": 0.0}),  # no masking
        **given,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }


def _freeze(
    model: PreTrainedModel, feature_encoder: bool = True, num_trainable_layers: int | None = None
) -> None:
    """Freeze what does not train, in place; the head always trains."""
    if feature_encoder or num_trainable_layers is not None:
        model.freeze_feature_encoder()  # also stops its backward pass, which the flags do not
    freeze_lower_layers(model, num_trainable_layers)
    config = model.config.to_dict()
    masks = config.get("apply_spec_augment", True) and config["mask_time_prob"] > 0
    for name, parameter in model.base_model.named_parameters(recurse=False):
        if name == "masked_spec_embed" and (num_trainable_layers is not None or not masks):
            parameter.requires_grad_(False)  # several processes would wait for its gradient
