"""What turns waveforms into units: codes of a Spin model, or k-means of frame features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_rspin.models.encoder import check_frame_rate
from hf_rspin.models.view_encoding import encode
from hf_rspin.units.features import FrameFeatures, LayerFeatures, WhisperLayerFeatures
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.recordings import Encode, can_pad, encode_recordings


@dataclass(frozen=True)
class UnitExtractor:
    """Waveforms (samples,) at 16 kHz -> units (frames,) of each.

    Args:
        extract: the function itself; it gets one array (batch, samples), or where `pads` a list.
        num_units: units are 0..num_units-1.
        provenance: what makes the units, JSON values; extraction goes on only where it is equal.
        pads: several lengths may share a batch; False: they are equal.
    """

    extract: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
    num_units: int
    provenance: dict[str, Any]
    pads: bool = False


def codebook_units(
    model: PreTrainedModel, normalize: bool = False, bf16: bool = False
) -> UnitExtractor:
    """Units are the codes of a Spin model: argmax of its code logits [R-Spin A.2].

    Recordings above 30 s are encoded in overlapping windows.

    Args:
        model: an `RSpinModel`, on the device to use.
        normalize: feed waveforms of mean 0 and variance 1 (large models; base models do not).
        bf16: run under bfloat16 autocast.

    Raises:
        ValueError: its codebook was never trained, or its frames are not 400 samples every 320.
    """

    def codes(values: Tensor, mask: Tensor | None) -> Tensor:
        return model(input_values=values, attention_mask=mask).code_logits

    return _model_units(model, "codebook", codes, model.config.codebook_size, normalize, bf16)


def predicted_pieces(
    model: PreTrainedModel, normalize: bool = False, bf16: bool = False
) -> UnitExtractor:
    """Units are the acoustic pieces that the auxiliary head of an R-Spin model predicts.

    That head was trained to tell, of noisy speech, the piece of every frame of the clean speech.
    For the arguments see `codebook_units`.

    Raises:
        ValueError: the model has no auxiliary head (plain Spin), or see `codebook_units`.
    """
    if model.auxiliary_head is None:
        raise ValueError(
            "this model has no auxiliary head that could predict pieces; expected an R-Spin model "
            "with num_pseudo_labels: use the codes of its codebook."
        )

    def pieces(values: Tensor, mask: Tensor | None) -> Tensor:
        states = encode(model.base_model, values, mask).auxiliary_input  # (batch, frames, hidden)
        return model.auxiliary_head(states)

    return _model_units(model, "auxiliary", pieces, model.config.num_pseudo_labels, normalize, bf16)


def _model_units(
    model: PreTrainedModel,
    kind: str,
    scores: Encode,
    num_units: int,
    normalize: bool,
    bf16: bool,
) -> UnitExtractor:
    """Return the extractor of the highest of `scores` (batch, frames, units)."""
    check_frame_rate(model.config)
    if model.config.untrained_heads:
        raise ValueError(
            f"the heads of {model.config.name_or_path or 'this model'} were never trained, so its "
            "units would be random; expected the folder of a trained Spin or R-Spin model."
        )

    def extract(waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = encode_recordings(model, scores, waveforms, normalize, bf16)
        return [one.argmax(-1).numpy() for one in found]

    provenance = {
        "kind": kind,
        "model": str(model.config.name_or_path),
        "weights": fingerprint(*(tensor for _, tensor in sorted(model.state_dict().items()))),
        "normalize": normalize,
        "bf16": bf16,
    }
    return UnitExtractor(extract, num_units, provenance, can_pad(model))


def kmeans_units(features: FrameFeatures, kmeans: KMeans) -> UnitExtractor:
    """Units are the nearest centres of `features` (waveform -> (frames, dim)).

    Raises:
        ValueError: the k-means has no centres yet.
    """
    if kmeans.cluster_centers is None:
        raise ValueError("this k-means has no centres yet; call fit_stream first.")

    batched = isinstance(features, LayerFeatures | WhisperLayerFeatures)

    def extract(waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = features.batch(waveforms) if batched else map(features, waveforms)
        return [kmeans.predict(one) for one in found]

    values = [kmeans.cluster_centers, *([] if kmeans.scale is None else [kmeans.scale])]
    centres = fingerprint(*map(torch.from_numpy, values))
    provenance = {"kind": "kmeans", "source": kmeans.source, "centres": centres}
    pads = features.pads if batched else True  # MFCC are made one by one
    return UnitExtractor(extract, kmeans.num_clusters, provenance, pads)


def fingerprint(*tensors: torch.Tensor) -> str:
    """Return a short hash of the values of some tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
