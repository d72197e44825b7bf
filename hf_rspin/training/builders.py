"""What the arguments of a run build: encoder with heads, data set, acoustic pieces of its labels.

The only place of training that names the model classes.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from hf_rspin.data import SkippedFiles, TwoViewDataset
from hf_rspin.models import SCORE_SETTINGS, LaserModel, RSpinModel
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import FAMILIES, check_frame_rate
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import check_weights, quiet_loading
from hf_rspin.training.run_card import portable
from hf_rspin.units import AcousticPieces, FrameLabels
from hf_rspin.views import SpinViews

if TYPE_CHECKING:
    from hf_rspin.training.arguments import CorpusArguments

logger = logging.getLogger(__name__)

RSPIN_CLASSES = dict.fromkeys(FAMILIES, RSpinModel)
LASER_CLASSES = dict.fromkeys(FAMILIES, LaserModel)


def build_rspin(encoder: str, changes: dict) -> PreTrainedModel:
    """Load an encoder with the heads of Spin or R-Spin, in float32.

    Args:
        encoder: folder, Hub id or bundled.
        changes: config fields that differ from the folder's.
    """
    return build_model(encoder, RSPIN_CLASSES, RSpinModel.head_names, lambda model_type: changes)


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

    return build_model(encoder, LASER_CLASSES, LaserModel.head_names, changes_for)


def build_model(
    name: str,
    model_classes: dict[str, type[PreTrainedModel]],
    heads: tuple[str, ...],
    changes_for: Callable[[str], dict],
) -> PreTrainedModel:
    """Load an encoder into the class of its type, in float32.

    Args:
        name: folder, Hub id or bundled.
        model_classes: by `model_type`.
        heads: how the names of weights begin that may be fresh.
        changes_for: gives the config fields to change for a `model_type`.

    Raises:
        ValueError: no encoder was named, it cannot be found, its type is not known, its weights
            are not all there, its frames are not 400 samples every 320, or a field to change is
            none that its config has.
    """
    if not name:
        raise ValueError(
            "no encoder was given; pass --encoder with a folder or Hub id, for instance "
            "microsoft/wavlm-base."
        )
    encoder = resolve_encoder(name)
    model_type = AutoConfig.from_pretrained(encoder, trust_remote_code=False).model_type
    if model_type not in model_classes:
        raise ValueError(
            f"{name} is a {model_type!r} model; expected one of {', '.join(model_classes)}."
        )
    changes, model_class = changes_for(model_type), model_classes[model_type]
    if issubclass(model_class, EncoderWithHeads):
        content, _ = PretrainedConfig.get_config_dict(encoder)
        _check_fields(changes, type(model_class.with_fields({"model_type": model_type})))
        config = model_class.with_fields(content, **changes)
    else:
        _check_fields(changes, model_class.config_class)
        config = model_class.config_class.from_pretrained(encoder, **changes)
    check_frame_rate(config)
    return _load_encoder(model_class, encoder, config, heads)


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
    corpus: datasets.Dataset,
    corpus_arguments: CorpusArguments,
    views: SpinViews,
    frame_labels: FrameLabels | None,
    seed: int,
    skipped: SkippedFiles | None = None,
) -> TwoViewDataset:
    """Return the two-view data set; with labels, only utterances that have some.

    `skipped` holds the files that loading the corpus left out, for the summary of the run.
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
    return TwoViewDataset(
        corpus,
        views,
        frame_labels,
        seed=seed,
        min_seconds=corpus_arguments.min_seconds,
        max_seconds=corpus_arguments.max_seconds,
        strict=corpus_arguments.strict,
        skipped=skipped,
    )


def pieces_of_labels(folder: str | Path, labels: FrameLabels) -> AcousticPieces | None:
    """Return the acoustic pieces that pseudo-labels stand for, to be published with the model.

    `make_pseudo_labels.py` saves them beside the folder of the labels. None where there are none,
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
