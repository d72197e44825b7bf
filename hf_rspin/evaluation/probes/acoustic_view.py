"""The log-mel spectrogram that layer-wise analyses compare layers with, at an encoder's frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from hf_rspin.audio import SAMPLING_RATE

NUM_MELS, FFT_SIZE, HOP, WINDOW = 80, 2048, 160, 400
PEAK, PRE_EMPHASIS, TOP_DB, LOWEST, FLOOR = 0.999, 0.97, 80.0, 50.0, 1e-5


def acoustic_view(waveform: np.ndarray, frames: int, factor: int = 1) -> np.ndarray:
    """Return 80 log-mel bands of magnitudes, averaged to encoder frames, (frames, 80) float32.

    As in Pasad et al. (2023): peak 0.999, pre-emphasis 0.97, windows of 400 samples every 160,
    centred, in an FFT of 2048; Slaney's filters from 50 Hz; decibels, the lowest 80 below the
    loudest, divided by 80, plus 1. Two spectra make one frame of 20 ms.

    Args:
        waveform: (samples,) at 16 kHz.
        frames: of the encoder for this waveform.
        factor: how many frames of 20 ms one frame is.
    """
    scaled = waveform * (PEAK / max(float(np.abs(waveform).max(initial=0)), 1e-9))
    emphasised = np.append(scaled[:1], scaled[1:] - PRE_EMPHASIS * scaled[:-1])
    spectra = torch.stft(
        torch.from_numpy(emphasised.astype(np.float32)), FFT_SIZE, HOP, WINDOW,
        torch.hann_window(WINDOW), center=True, pad_mode="constant", return_complex=True,
    )  # fmt: skip
    magnitudes = spectra.abs().numpy().T  # (spectra, bins)
    decibels = 20 * np.log10(np.maximum(magnitudes @ _filters(), FLOOR))
    bands = np.maximum(decibels, decibels.max() - TOP_DB) / TOP_DB + 1
    return _averaged(bands, frames, 2 * factor).astype(np.float32)


def _averaged(bands: np.ndarray, frames: int, width: int) -> np.ndarray:
    """Average `width` spectra per frame; the last frames may have to do with fewer."""
    missing = max(0, frames * width - len(bands))
    padded = np.pad(bands, ((0, missing), (0, 0)), mode="edge")[: frames * width]
    return padded.reshape(frames, width, -1).mean(axis=1)


@lru_cache
def _filters() -> np.ndarray:
    """Return the mel filters, (bins, mels)."""
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(
        FFT_SIZE // 2 + 1, NUM_MELS, LOWEST, SAMPLING_RATE / 2, SAMPLING_RATE,
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip
