"""Frame features to cluster: MFCC, or a hidden layer of an encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedModel

from hf_rspin.audio import normalize_waveforms
from hf_rspin.units.mfcc import mfcc
from hf_rspin.units.windows import run_in_windows

FrameFeatures = Callable[[np.ndarray], np.ndarray]


def mfcc_features() -> FrameFeatures:
    """Return the function waveform (samples,) -> MFCC (frames, 39)."""
    return mfcc


def layer_features(
    model: PreTrainedModel, layer: int, bf16: bool = False, normalize: bool = False
) -> FrameFeatures:
    """Return the function waveform (samples,) -> `hidden_states[layer]` (frames, dim), float32.

    One utterance at a time, so no padding reaches the model; above 30 s in overlapping
    windows. The layers above are computed too: pass a model with fewer layers for speed.

    Args:
        model: a HuBERT, WavLM or relative, on the device to use.
        layer: index into `hidden_states`.
        bf16: run under bfloat16 autocast.
        normalize: feed waveforms of mean 0 and variance 1 (large models; base models do not).

    Raises:
        ValueError: the model has no such layer.
    """
    layers = model.config.num_hidden_layers
    if not -layers - 1 <= layer <= layers:
        raise ValueError(f"layer is {layer}; this encoder has hidden_states 0 to {layers}.")
    model.eval()

    def state_of(values: torch.Tensor) -> torch.Tensor:
        states = model(values, output_hidden_states=True).hidden_states
        return states[layer][0].float().cpu()

    @torch.inference_mode()
    def extract(waveform: np.ndarray) -> np.ndarray:
        device = next(model.parameters()).device
        values = torch.from_numpy(np.asarray(waveform, dtype=np.float32))[None].to(device)
        if normalize:
            values = normalize_waveforms(values)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return run_in_windows(state_of, values, axis=0).numpy()

    return extract
