"""An encoder of any known type with a CTC head, and what of it trains."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from peft import PeftModel
from transformers import (
    Data2VecAudioForCTC,
    HubertForCTC,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizer,
    SEWDForCTC,
    UniSpeechSatForCTC,
    Wav2Vec2ConformerForCTC,
    Wav2Vec2ForCTC,
    WavLMForCTC,
)

from hf_rspin.adapters import AdapterArguments
from hf_rspin.ctc.freezing import freeze_encoder
from hf_rspin.ctc.head import init_bias_from_prior
from hf_rspin.models import use_sdpa_attention
from hf_rspin.training.builders import build_model

if TYPE_CHECKING:
    from hf_rspin.ctc.arguments import CtcModelArguments

HEAD = "lm_head"
CTC_CLASSES = {
    "hubert": HubertForCTC,
    "wavlm": WavLMForCTC,
    "wav2vec2": Wav2Vec2ForCTC,
    "data2vec-audio": Data2VecAudioForCTC,
    "unispeech-sat": UniSpeechSatForCTC,
    "sew-d": SEWDForCTC,
    "wav2vec2-conformer": Wav2Vec2ConformerForCTC,
}
# by `model_type`, where no `apply_spec_augment` switches masking in training off
UNMASKED = {"data2vec-audio": {"mask_time_prob": 0.0}}
FROM_VOCABULARY = ("vocab_size", "pad_token_id")
# decide how a model runs, and are no part of what a config saves
RUNTIME = ("_attn_implementation", "dtype", "name_or_path")


def build_ctc(
    arguments: CtcModelArguments,
    tokenizer: PreTrainedTokenizer,
    adapter: AdapterArguments | None = None,
    prior: np.ndarray | None = None,
) -> PreTrainedModel | PeftModel:
    """Load the encoder with a CTC head, in float32, a fresh one where the sizes differ.

    Args:
        arguments: which encoder, and what of it trains.
        tokenizer: its tokens are the classes.
        adapter: adapter to train with the head, instead of the encoder.
        prior: how often each class comes (classes,), where a fresh head starts.

    Raises:
        ValueError: see `build_model` and `freeze_encoder`.
    """
    changes = arguments.changes(without=("freeze_feature_encoder", "num_trainable_layers"))
    model = build_model(
        arguments.encoder,
        CTC_CLASSES,
        (f"{HEAD}.",),
        lambda model_type: _changes(model_type, tokenizer, changes),
    )
    model.config = _plain_config(model.config)
    if model.config.model_type == "wavlm":
        use_sdpa_attention(model.base_model)
    if prior is not None:
        init_bias_from_prior(model.lm_head, prior)
    if adapter is None or adapter.adapter == "none":
        freeze_encoder(model, arguments.freeze_feature_encoder, arguments.num_trainable_layers)
        return model
    freeze_encoder(model)
    return adapter.wrap(model, (HEAD,), arguments.num_trainable_layers)


def _changes(model_type: str, tokenizer: PreTrainedTokenizer, given: dict) -> dict:
    for name in FROM_VOCABULARY:
        if name in given:
            raise ValueError(f"encoder_config names {name}, which the corpus decides.")
    return {
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
        **UNMASKED.get(model_type, {"apply_spec_augment": False}),
        **given,
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }


def _plain_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return a config of the encoder's own fields: no heads or code of the folder it came from."""
    own = {field.name for field in fields(config)} - {"architectures"}
    plain = type(config).from_dict({k: v for k, v in config.to_dict().items() if k in own})
    for name in RUNTIME:
        setattr(plain, name, getattr(config, name))
    return plain
