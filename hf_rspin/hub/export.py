"""A plain encoder out of a model with heads: for who wants to load no code and no heads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from transformers import (
    MODEL_MAPPING,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
)
from transformers.utils import cached_file

from hf_rspin.models import LaserModel, RSpinLaserModel, RSpinModel
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.models.loading import load_encoder, plain_config
from hf_rspin.publishing.card_file import CARD, is_untouched, place_card, sign, unsigned
from hf_rspin.publishing.model_card import ModelCardInfo, make_card, method_of

# decide how a model runs, and are no part of what a config saves
_RUNTIME = ("_attn_implementation", "dtype", "name_or_path")


def clean_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return a config without what our models added: head fields, `auto_map`, architectures.

    A plain encoder or a CTC model that was loaded from one of our folders keeps them, and would
    announce code and heads that it is saved without: clean its config before `save_pretrained`.

    Args:
        config: of a model with heads, or of what was loaded from its folder; stays as it is.

    Returns:
        The config of a plain encoder, such as a `HubertConfig`.
    """
    plain = plain_config(config.to_dict())
    for name in _RUNTIME:
        setattr(plain, name, getattr(config, name))
    return plain


def export_plain(model: PreTrainedModel | str | Path, folder: str | Path) -> None:
    """Save the encoder of a model as a plain encoder, with equal hidden states.

    Args:
        model: with heads of any kind; or its folder, or its id on the Hub.
        folder: gets weights, a clean config, the feature extractor and a card.

    Raises:
        TypeError: an adapter, which has to be merged first.
        ValueError: the export would overwrite the model, or the model is not whole.
    """
    source = str(model) if isinstance(model, str | Path) else None
    if source is not None and Path(source).resolve() == Path(folder).resolve():
        raise ValueError(f"{folder} holds the model; give another folder for its plain encoder.")
    if source is not None:
        model = _load(source)
    elif not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"the model is a {type(model).__name__}; expected a model of transformers or its "
            "folder: merge an adapter first, with hf_rspin.adapters.merge_lora."
        )
    encoder = plain_encoder(model)
    encoder.save_pretrained(folder)
    _extractor(source, encoder.config).save_pretrained(folder)
    _write_card(source, model, encoder.config, Path(folder))


def plain_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder of a model, of transformers' own class, sharing its weights."""
    encoder, config = model.base_model, clean_config(model.config)
    with torch.device("meta"):
        plain = MODEL_MAPPING[type(config)](config)
    plain.load_state_dict(encoder.state_dict(), assign=True)
    return plain.eval()


def _load(source: str) -> PreTrainedModel:
    """Load a model as what it was saved as, in the dtype of its files."""
    content, _ = PreTrainedConfig.get_config_dict(source)
    for model_class in (RSpinLaserModel, RSpinModel, LaserModel):
        if model_class.fields.head_field in content:
            return model_class.from_pretrained(source, dtype="auto")
    return load_encoder(source, dtype="auto")


def _extractor(source: str | None, config: PreTrainedConfig) -> Wav2Vec2FeatureExtractor:
    if source is not None:
        try:
            return Wav2Vec2FeatureExtractor.from_pretrained(source)
        except OSError:  # there is none
            pass
    return default_feature_extractor(config)


def _write_card(
    source: str | None, model: PreTrainedModel, config: PreTrainedConfig, folder: Path
) -> None:
    """Write what is known of the model; its use is that of a plain encoder."""
    facts = replace(
        vars(model).get("card_info") or ModelCardInfo(), method=method_of(model.config)
    )
    if facts.normalized is None:
        facts.normalized = _extractor(source, config).do_normalize
    facts.name = facts.name or folder.resolve().name
    text = sign(make_card(config, facts))
    found = source and cached_file(source, CARD, _raise_exceptions_for_missing_entries=False)
    if found:
        before = Path(found).read_text(encoding="utf-8")
        text = sign(_with_use_of(unsigned(before), text)) if is_untouched(before) else before
    place_card(folder, text)


def _with_use_of(text: str, other: str) -> str:
    """Replace the section Use of one card by that of another."""
    section = re.compile(r"\n## Use\n.*?(?=\n## )", re.DOTALL)
    use = section.search(other).group()
    return section.sub(lambda _: use, text, count=1)
