"""What the arguments of a run build: encoder with heads, data set, acoustic pieces of its labels.

The only place of training that names the model classes.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CTC_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
)

from hf_rspin.data import TwoViewDataset
from hf_rspin.models import SCORE_SETTINGS, LaserModel, RSpinModel
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import FAMILIES, check_frame_rate
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import check_weights, plain_config, quiet_loading
from hf_rspin.training.run_card import portable
from hf_rspin.units import AcousticPieces, FrameLabels
from hf_rspin.views import SpinViews

logger = logging.getLogger(__name__)

CTC_HEAD = "lm_head."  # how the names of its weights begin

def build_rspin(encoder: str, changes: dict) -> PreTrainedModel:
    """Load an encoder with the heads of Spin or R-Spin, in float32.

    Args:
        encoder: folder, Hub id or bundled.
        changes: config fields that differ from the folder's.
    """
    return build_model(encoder, RSpinModel, lambda model_type: changes)


def build_laser(encoder: str, method: str, changes: dict) -> PreTrainedModel:
    """Load an encoder with the head of LASER or SCORE, in float32.

    Args:
        encoder: folder, Hub id or bundled.
        method: laser or score; what it sets is not what the folder says, which may have been
            trained by the other.
        changes: config fields that differ from those of the method.
    """

    def changes_for(model_type: str) -> dict:
        score = SCORE_SETTINGS[model_type]
        known = LaserModel.with_fields({"model_type": model_type}).__dataclass_fields__
        settings = score if method == "score" else {n: known[n].default for n in score}
        return settings | changes

    return build_model(encoder, LaserModel, changes_for)


def build_model(
    name: str, model_class: type[EncoderWithHeads] | None, changes_for: Callable[[str], dict]
) -> PreTrainedModel:
    """Load an encoder with heads, in float32.

    Args:
        name: folder, Hub id or bundled.
        model_class: `RSpinModel` or `LaserModel`; None for a CTC head, by transformers' class.
        changes_for: gives the config fields to change for a `model_type`.

    Raises:
        ValueError: no encoder was named, it cannot be found, its type is not known, its weights
            are not all there, or a field to change is none that its config has.
    """
    if not name:
        raise ValueError(
            "no encoder was given; pass --encoder with a folder or Hub id, for instance "
            "microsoft/wavlm-base."
        )
    encoder = resolve_encoder(name)
    content, _ = PretrainedConfig.get_config_dict(encoder)
    model_type = content.get("model_type")
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"{name} is a {model_type!r} model; expected one of {known}.")
    changes = changes_for(model_type)
    if model_class is not None:
        _check_fields(changes, type(model_class.with_fields({"model_type": model_type})))
        config = model_class.with_fields(content, **changes)
        check_frame_rate(config)
        return _load_encoder(model_class, encoder, config, model_class.head_names)
    _check_fields(changes, CONFIG_MAPPING[model_type])
    config = plain_config(content | changes)  # nothing of the heads that the folder may have
    check_frame_rate(config)
    return _load_encoder(MODEL_FOR_CTC_MAPPING[type(config)], encoder, config, (CTC_HEAD,))


def _check_fields(changes: dict, config_class: type[PretrainedConfig]) -> None:
    known = [f.name for f in fields(config_class)]
    for name in changes:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else "see its documentation."
            raise ValueError(
                f"encoder_config names {name}, which is no field of {config_class.__name__}; {hint}"
            )


def _load_encoder(
    model_class: type[PreTrainedModel],
    encoder: str,
    config: PretrainedConfig,
    heads: tuple[str, ...],
) -> PreTrainedModel:
    """Load in float32; heads that are not there, or of other sizes, begin anew.

    Raises:
        ValueError: weights of the encoder itself are missing or of another size.
    """
    with quiet_loading():
        model, report = model_class.from_pretrained(
            encoder,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    changed = sorted(name for name, *_ in report["mismatched_keys"])
    misfits = [name for name in changed if not name.startswith(heads)]
    if misfits:
        raise ValueError(
            f"{encoder} does not fit its config: {', '.join(misfits[:3])} has another size. Leave "
            "sizes of the encoder out of encoder_config."
        )
    check_weights(model, report, encoder, heads, anew=True)
    if changed:
        logger.warning(
            "The heads in %s have other sizes: %s begin anew.", encoder, ", ".join(changed)
        )
    return model


def build_training_set(
    corpus: datasets.Dataset, views: SpinViews, frame_labels: FrameLabels | None, **options: Any
) -> TwoViewDataset:
    """Return the two-view data set; with labels, only utterances that have some.

    Args:
        corpus: see `TwoViewDataset`.
        views: likewise.
        frame_labels: labels by utterance; None for none.
        **options: other arguments of `TwoViewDataset`.
    """
    if frame_labels is not None:
        labelled = [i for i, key in enumerate(corpus["id"]) if str(key) in frame_labels]
        missing = len(corpus) - len(labelled)
        if missing and labelled:
            logger.warning(
                "%d of %d utterances have no pseudo-labels and are left out.", missing, len(corpus)
            )
        if labelled:  # none at all is a mistake, which the checks before the first step name
            corpus = corpus.select(labelled)
    return TwoViewDataset(corpus, views, frame_labels, **options)


def pieces_of_labels(folder: str | Path, labels: FrameLabels) -> AcousticPieces | None:
    """Return the acoustic pieces that pseudo-labels stand for, to be published with the model.

    `hf-rspin labels` saves them beside the folder of the labels. None where there are none,
    or where the labels are the units themselves. Local paths in their history are shortened.
    """
    place = Path(folder).resolve().parent / "acoustic_pieces"
    try:
        pieces = AcousticPieces.from_pretrained(place)
    except FileNotFoundError:
        return None
    if pieces.num_labels != labels.num_labels:
        return None
    pieces.provenance = portable(pieces.provenance)
    return pieces
