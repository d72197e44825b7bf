"""What turns waveforms into units: codes of a Spin model, or k-means of frame features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_rspin.audio import normalize_waveforms
from hf_rspin.models.encode import encode
from hf_rspin.units.features import FrameFeatures
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.windows import run_in_windows


@dataclass(frozen=True)
class UnitExtractor:
    """Waveforms (batch, samples) at 16 kHz, of equal length -> units (batch, frames).

    Args:
        extract: the function itself.
        num_units: units are 0..num_units-1.
        provenance: what makes the units, JSON values; extraction goes on only where it is equal.
    """

    extract: Callable[[np.ndarray], np.ndarray]
    num_units: int
    provenance: dict[str, Any]


def codebook_units(
    model: PreTrainedModel, normalize: bool = False, bf16: bool = False
) -> UnitExtractor:
    """Units are the codes of a Spin model: argmax of its code logits [R-Spin A.2].

    Recordings above 30 s are encoded in overlapping windows.

    Args:
        model: an `RSpinHubertModel` or `RSpinWavLMModel`, on the device to use.
        normalize: feed waveforms of mean 0 and variance 1 (large models; base models do not).
        bf16: run under bfloat16 autocast.
    """

    def codes(values: Tensor) -> Tensor:
        return model(input_values=values).units

    return _model_units(model, "codebook", codes, model.config.codebook_size, normalize, bf16)


def predicted_pieces(
    model: PreTrainedModel, normalize: bool = False, bf16: bool = False
) -> UnitExtractor:
    """Units are the acoustic pieces that the auxiliary head of an R-Spin model predicts.

    That head was trained to tell, of noisy speech, the piece of every frame of the clean speech.
    For the arguments see `codebook_units`.

    Raises:
        ValueError: the model has no auxiliary head (plain Spin).
    """
    if model.auxiliary_head is None:
        raise ValueError(
            "this model has no auxiliary head that could predict pieces; expected an R-Spin model "
            "with num_pseudo_labels: use the codes of its codebook."
        )

    def pieces(values: Tensor) -> Tensor:
        states = encode(model.base_model, values, None).auxiliary_input  # (batch, frames, hidden)
        return model.auxiliary_head(states).argmax(dim=-1)

    return _model_units(model, "auxiliary", pieces, model.config.num_pseudo_labels, normalize, bf16)


def _model_units(
    model: PreTrainedModel,
    kind: str,
    classify: Callable[[Tensor], Tensor],
    num_units: int,
    normalize: bool,
    bf16: bool,
) -> UnitExtractor:
    """Return the extractor of `classify`: waveforms (batch, samples) -> units (batch, frames)."""
    model.eval()
    parameter = next(model.parameters())

    @torch.inference_mode()
    def extract(waveforms: np.ndarray) -> np.ndarray:
        values = torch.from_numpy(waveforms).to(parameter.device)  # (batch, samples)
        if normalize:
            values = normalize_waveforms(values)
        with torch.autocast(parameter.device.type, torch.bfloat16, enabled=bf16):
            return run_in_windows(classify, values, axis=1).cpu().numpy()

    provenance = {
        "kind": kind,
        "model": str(model.config.name_or_path),
        "weights": fingerprint(*(tensor for _, tensor in sorted(model.state_dict().items()))),
        "normalize": normalize,
        "bf16": bf16,
    }
    return UnitExtractor(extract, num_units, provenance)


def kmeans_units(features: FrameFeatures, kmeans: KMeans) -> UnitExtractor:
    """Units are the nearest centres of `features` (waveform -> (frames, dim)).

    Raises:
        ValueError: the k-means has no centres yet.
    """
    if kmeans.centres is None:
        raise ValueError("this k-means has no centres yet; call fit_stream first.")

    def extract(waveforms: np.ndarray) -> np.ndarray:
        return np.stack([kmeans.predict(features(waveform)) for waveform in waveforms])

    centres = fingerprint(torch.from_numpy(kmeans.centres))
    provenance = {"kind": "kmeans", "source": kmeans.source, "centres": centres}
    return UnitExtractor(extract, kmeans.num_clusters, provenance)


def fingerprint(*tensors: torch.Tensor) -> str:
    """Return a short hash of the values of some tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
