"""The model of a pre-training run: an encoder of any family, fresh or from a folder, and saved."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from hf_rspin.models.encoder import check_frame_rate
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import load_encoder, plain_config
from hf_rspin.models.modeling_masked_prediction import MaskedPredictionModel
from hf_rspin.models.own_types import config_class_of, model_class_of
from hf_rspin.training.filterbank import start_as_filterbank
from hf_rspin.training.freezing import scale_gradient
from hf_rspin.training.masked_prediction_arguments import MaskedPredictionArguments
from hf_rspin.training.provenance import load_provenance

logger = logging.getLogger(__name__)


def build_network(
    arguments: MaskedPredictionArguments, num_labels: int, keys: Collection[str] | None = None
) -> MaskedPredictionModel:
    """Build the encoder from the config, or load what to start from, in float32.

    Args:
        arguments: of the run.
        num_labels: classes of the frame labels.
        keys: of the labels, see `label_keys`: heads of a checkpoint that were trained on others
            begin anew; None keeps heads that have as many classes.

    Raises:
        ValueError: no such encoder can be built, or what it starts from does not fit.
    """
    fields = {
        "num_frame_labels": num_labels,
        "unmasked_weight": arguments.unmasked_weight,
        "feature_penalty": arguments.feature_penalty,
        "apply_spec_augment": True,
    }
    if arguments.initial_model is not None:
        model = _loaded(arguments.initial_model, arguments.encoder or {}, fields, keys)
    else:
        config = encoder_config(arguments.encoder or {})
        fields["attn_implementation"] = attention_of(config)
        model = MaskedPredictionModel(MaskedPredictionModel.with_fields(config, **fields))
        if arguments.filterbank:
            start_as_filterbank(model.base_model)
        if arguments.initial_convolutions is not None:
            copy_convolutions(model.base_model, arguments.initial_convolutions)
    scale_gradient(model.base_model, arguments.feature_gradient_scale)
    return model


def attention_of(config: PreTrainedConfig) -> str:
    """Return the attention to train with, by its name in transformers.

    Crops are short: plain attention trains a fifth faster on a CPU than the fused kernel, which
    not every family has (WavLM and SEW-D have none).
    """
    fused = torch.cuda.is_available() and model_class_of(type(config))._supports_sdpa
    return "sdpa" if fused else "eager"


def encoder_config(content: dict[str, Any]) -> PreTrainedConfig:
    """Return the config of a plain encoder of 50 frames per second; HuBERT's without `model_type`.

    Raises:
        ValueError: an unknown type of encoder or field, fields that no encoder can be built
            with, or another frame rate.
    """
    content = {"model_type": "hubert", **content}
    config = plain_config(content)  # refuses a type that is not known
    known = config_class_of(content["model_type"]).__dataclass_fields__
    unknown = [name for name in content if name not in known and name != "model_type"]
    if unknown:
        raise ValueError(
            f"--encoder names {unknown[0]}, which is no field of the config of "
            f"{content['model_type']}: correct it, or leave it out."
        )
    check_frame_rate(config)
    error = _why_not(config)
    if error is not None:
        raise ValueError(
            f"--encoder has {_culprits(content)}, with which no encoder can be built ({error}): "
            "correct it, or leave it out."
        )
    return config


def _why_not(config: PreTrainedConfig) -> str | None:
    """Return what building an encoder fails with, which takes no memory; None where it works."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # of tensors without elements
        try:
            model_class_of(type(config))(config)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            return " ".join(f"{type(error).__name__}: {error}".rstrip(".").split())
    return None


def _culprits(content: dict[str, Any]) -> str:
    """Return the fields that keep an encoder from being built, each alone; all if there are none.

    One does if the encoder can be built with its default instead, or with 1 where it is a number.
    """
    given = {name: value for name, value in content.items() if name != "model_type"}
    found = {}
    for name, value in given.items():
        others = {n: v for n, v in content.items() if n != name}
        for changed in [others] + [others | {name: 1}] * (type(value) is int):
            # the others may not fit each other then
            with contextlib.suppress(ValueError, StrictDataclassError):
                if _why_not(plain_config(changed)) is None:
                    found[name] = value
    return ", ".join(f"{name} {value!r}" for name, value in (found or given).items())


def _loaded(
    name: str, wanted: dict[str, Any], fields: dict[str, Any], keys: Collection[str] | None
) -> MaskedPredictionModel:
    """Load an encoder, or a checkpoint with heads; other heads than asked for begin anew."""
    config = plain_config(PreTrainedConfig.get_config_dict(name)[0])
    content = config.to_dict()
    different = [n for n, value in wanted.items() if _plain(content.get(n)) != _plain(value)]
    if different:
        raise ValueError(
            f"--encoder asks for {different[0]} {wanted[different[0]]}, but {name} has "
            f"{content.get(different[0])}: leave --encoder out where --initial_model is given."
        )
    model = MaskedPredictionModel.from_pretrained(
        name, ignore_mismatched_sizes=True, attn_implementation=attention_of(config), **fields
    )
    check_frame_rate(model.config)
    if keys is not None and (load_provenance(name) or {}).get("labels") not in keys:
        model.reset_heads()  # as many classes need not be the same ones
    return model


def copy_convolutions(encoder: PreTrainedModel, source: str) -> None:
    """Copy the convolutions of another encoder, and its feature projection where that fits.

    Args:
        encoder: changed in place.
        source: folder, Hub id or "bundled".

    Raises:
        ValueError: it has other convolutions.
    """
    given, own = load_encoder(resolve_encoder(source)).state_dict(), encoder.state_dict()
    fits = {n for n, value in own.items() if n in given and given[n].shape == value.shape}
    lacking = sorted(n for n in own if n.startswith("feature_extractor.") and n not in fits)
    if lacking:
        there = tuple(given[lacking[0]].shape) if lacking[0] in given else "missing"
        raise ValueError(
            f"the convolutions of {source} do not fit: {lacking[0]} is {there} there and "
            f"{tuple(own[lacking[0]].shape)} here; give --encoder the conv_dim, conv_kernel, "
            "conv_stride, conv_bias and feat_extract_norm of that encoder."
        )
    projection = {n for n in own if n.startswith("feature_projection.")}
    parts = {n for n in fits if n.startswith("feature_extractor.")}
    parts |= projection if projection <= fits else set()
    if not projection <= parts:
        logger.warning("The feature projection of %s does not fit and begins anew.", source)
    encoder.load_state_dict({n: given[n] for n in parts}, strict=False)


def save_encoder(
    model: MaskedPredictionModel, extractor: Wav2Vec2FeatureExtractor, folder: Path
) -> None:
    """Save the plain encoder as bfloat16, with a clean config and its feature extractor.

    The config says float32, which `from_pretrained` then loads: half the size on disk, and no
    bfloat16 surprises on processors without it.
    """
    encoder = model.base_model
    encoder.config = plain_config(model.config.to_dict())
    encoder.config.apply_spec_augment = False
    encoder.to(torch.bfloat16).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")
    extractor.save_pretrained(folder)
    logger.info("Encoder saved in %s", folder)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, to compare."""
    return json.loads(json.dumps(value))
