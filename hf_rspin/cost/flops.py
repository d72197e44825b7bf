"""Floating-point operations of a forward pass, the attention of CPUs among them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.audio import FRAME_WINDOW, SAMPLING_RATE
from hf_rspin.models.whisper_encoder import WINDOW


def forward_flops(model: nn.Module, seconds: float = 1.0) -> int:
    """Return the floating-point operations of one forward pass in eval mode, of one utterance.

    Products of matrices, convolutions and attention count, a multiplication and an addition as two;
    norms, activations and softmax do not, nor does a recurrent layer on a GPU. The forward is run:
    the model, its mode and the random generators are afterwards what they were.

    Args:
        model: an encoder of waveforms (1, samples) at 16 kHz, without heads that want more, or
            Whisper's encoder, which reads whole windows of 30 s however short the speech.
        seconds: of speech, at least one frame (25 ms). Attention grows with their square.

    Raises:
        ValueError: no frame in so few seconds.

    Example:
        >>> encoder = HubertModel.from_pretrained(encoder_folder())
        >>> forward_flops(encoder, seconds=10) / 1e9    # base: 148.1
        7.5644416
    """
    samples = round(seconds * SAMPLING_RATE) if math.isfinite(seconds) else 0
    if samples < FRAME_WINDOW:
        raise ValueError(
            f"seconds is {seconds}; expected {FRAME_WINDOW / SAMPLING_RATE:g} (one frame) or more."
        )
    weight = next(model.parameters())
    speech = _speech(model, samples).to(weight.device, weight.dtype)
    devices = [weight.device] if weight.device.type == "cuda" else []
    with torch.random.fork_rng(devices), _in_eval_mode(model), torch.no_grad():
        with flop_counter() as counter:
            model(speech)
    return counter.get_total_flops()


@contextlib.contextmanager
def flop_counter() -> Iterator[FlopCounterMode]:
    """Count what is done inside, in one thread: `get_total_flops()` of what this gives.

    `torch.utils.flop_counter` knows nothing of the attention kernel of CPUs, and sees nothing of
    other threads, in which `blockwise_attention` works.
    """
    threads = torch.get_num_threads()
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={kernel: _attention_flops})
    torch.set_num_threads(1)
    try:
        with counter:
            yield counter
    finally:
        torch.set_num_threads(threads)


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Return the operations of shapes (batch, heads, frames, dim)."""
    return sdpa_flop_count(query, key, value)


def _speech(model: nn.Module, samples: int) -> Tensor:
    if isinstance(model, WhisperEncoder):
        frames = 2 * model.config.max_source_positions
        return torch.zeros(-(-samples // WINDOW), model.config.num_mel_bins, frames)
    return torch.zeros(1, samples)


@contextlib.contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
