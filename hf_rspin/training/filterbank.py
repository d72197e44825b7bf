"""Start the front end of a small encoder as an auditory filter bank.

A published HuBERT learns its filters from raw samples in tens of thousands of updates. An encoder
with the budget of an evening starts from Gabor filters on the mel scale instead: the first
convolution is the filter bank, its activation the rectifier, the second convolution the pooling.
All of it is trained on.
"""

from __future__ import annotations

import math

import torch
from transformers import PreTrainedModel

from hf_rspin.audio import SAMPLING_RATE

SHORTEST = 80  # samples of a filter that tells bands apart
PHASES = 4  # GELU keeps half a wave: with four phases the energy of a tone passes at any instant


def gabor_filters(num_channels: int, kernel_size: int) -> torch.Tensor:
    """Return Gabor filters (num_channels, 1, kernel_size) of unit gain, mel-spaced, four phases.

    Band centres lie between 60 Hz and 7,600 Hz; a filter is twice as wide as the distance to its
    neighbours, wider where the kernel (in samples at 16 kHz) is too short for that. Channels of
    one band follow each other, a quarter of a turn apart.

    Raises:
        ValueError: if `num_channels` is no multiple of four.
    """
    if num_channels % PHASES:
        raise ValueError(
            f"a filter bank of {num_channels} channels was asked for; it takes a multiple of "
            f"{PHASES}, one channel for each phase of a band."
        )
    bands = num_channels // PHASES
    mel = torch.linspace(_mel(60.0), _mel(7600.0), bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mel / 2595) - 1)  # Hz
    centres, widths = edges[1:-1], (edges[2:] - edges[:-2]) / 2
    time = (torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2) / SAMPLING_RATE
    # A Gaussian of standard deviation s seconds is 0.375 / s Hz wide at half its height; a width
    # of two spacings makes neighbours overlap. Five deviations must fit in the kernel.
    longest = kernel_size / SAMPLING_RATE / 5
    spread = (0.375 / (2 * widths)).clamp(max=longest)
    envelope = torch.exp(-0.5 * (time / spread[:, None]) ** 2)
    envelope = envelope / envelope.sum(dim=1, keepdim=True)
    phase = torch.arange(PHASES, dtype=torch.float64) * 2 * math.pi / PHASES
    wave = torch.cos(2 * math.pi * centres[:, None, None] * time + phase[:, None])
    filters = 2 * envelope[:, None] * wave  # (bands, phases, kernel)
    return filters.reshape(num_channels, 1, kernel_size).float()


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


@torch.no_grad()
def start_as_filterbank(encoder: PreTrainedModel, generator: torch.Generator | None = None) -> None:
    """Set the first two convolutions of `encoder` to a filter bank and its pooling, in place.

    Every output of the second convolution is a random mixture of band energies under one Hann
    window.

    Args:
        encoder: of any family.
        generator: of the mixture.

    Raises:
        ValueError: the first convolution is too short, or its channels are no multiple of four.
    """
    first, second = (layer.conv for layer in encoder.feature_extractor.conv_layers[:2])
    if first.kernel_size[0] < SHORTEST:
        raise ValueError(
            f"a filter bank takes a first convolution of at least {SHORTEST} samples (5 ms), but "
            f"conv_kernel begins with {first.kernel_size[0]}: give --encoder conv_kernel "
            "[160, 16, 1] and conv_stride [16, 20, 1], or leave --filterbank out."
        )
    first.weight.copy_(gabor_filters(first.out_channels, first.kernel_size[0]))
    for one in (first, second):
        if one.bias is not None:
            one.bias.zero_()
    window = torch.hann_window(second.kernel_size[0] + 2)[1:-1]
    window = window / window.sum()
    bands = second.in_channels // PHASES
    mixture = torch.randn(second.out_channels, bands, generator=generator)
    mixture = mixture * math.sqrt(2 / bands)
    second.weight.copy_(mixture.repeat_interleave(PHASES, dim=1)[:, :, None] * window)
