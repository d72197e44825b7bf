"""Whisper's encoder (arXiv 2212.04356) as a source of frame features: a teacher, or a topline.

It reads log-mel windows of exactly 30 s. Several utterances share a window, silence between them;
longer ones are cut into overlapping windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.device import has_fast_bfloat16
from hf_rspin.models.frame_grid import ENCODER_FRAMES, WHISPER_FRAMES, between_frames
from hf_rspin.models.loading import check_weights, quiet_loading

SAMPLING_RATE = 16_000
FRAME_SHIFT, FRAME_WINDOW = 320, 400  # samples, of the frames that are returned
WINDOW = 30 * SAMPLING_RATE  # samples
GAP = 6_400  # samples of silence between the utterances of a window: 0.4 s
CONTEXT = 100  # frames either side of a cut through a long utterance: 2 s
BATCH = 1  # windows: more at once are no faster on a CPU, and take more memory


@dataclass(frozen=True)
class _Piece:
    """Frames `first` to `last` of an utterance, in a window from sample `place` on."""

    utterance: int
    first: int
    last: int
    start: int  # `start` to `stop` are kept, the rest is context
    stop: int
    place: int  # a multiple of 320


def is_whisper(config: PreTrainedConfig | dict) -> bool:
    """Say whether a config is Whisper's."""
    content = config if isinstance(config, dict) else config.to_dict()
    return content.get("model_type") == "whisper"


class WhisperFrames:
    """The hidden states of a Whisper encoder at HuBERT's frames of 400 samples every 320.

    Args:
        model: a `WhisperEncoder`, on the device to use.
        extractor: makes its log-mel spectrograms.
        bf16: run under bfloat16 autocast; None where that is faster than float32.

    Attributes:
        num_layers: hidden states: the encoder's input and every layer.
        dim: of each.
    """

    def __init__(
        self,
        model: WhisperEncoder,
        extractor: WhisperFeatureExtractor,
        bf16: bool | None = None,
    ):
        self.model, self.extractor = model.eval().requires_grad_(False), extractor
        self.bf16 = has_fast_bfloat16(model.device.type) if bf16 is None else bf16
        self.num_layers, self.dim = model.config.encoder_layers + 1, model.config.d_model

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, bf16: bool | None = None, device: str = "cpu"
    ) -> WhisperFrames:
        """Load the encoder of a folder or Hub id of Whisper, with or without its decoder.

        Raises:
            ValueError: weights are missing, damaged, NaN or infinite.
        """
        # beside a decoder the encoder's weights have its name in front, in bare or whole models
        with quiet_loading():
            model, report = WhisperEncoder.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True,
                key_mapping={r"^(model\.)?encoder\.": ""},
            )  # fmt: skip
        check_weights(model, report, folder)
        return cls(model.to(device), WhisperFeatureExtractor.from_pretrained(folder), bf16)

    @torch.inference_mode()
    def states(
        self, waveforms: Sequence[np.ndarray], layers: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Return the states (layers, frames, dim) of each waveform, float32, on the CPU.

        Args:
            waveforms: (samples,) each at 16 kHz, at least one frame long.
            layers: which hidden states; 0 is the encoder's input; None: all.

        Raises:
            ValueError: a waveform is shorter than one frame, or a state is not finite.
        """
        counts = [(len(wave) - FRAME_WINDOW) // FRAME_SHIFT + 1 for wave in waveforms]
        if min(counts, default=1) < 1:
            raise ValueError(
                f"a waveform has {min(map(len, waveforms))} samples; one frame takes "
                f"{FRAME_WINDOW}: leave utterances this short out."
            )
        layers = range(self.num_layers) if layers is None else layers
        found = [torch.empty(count, len(layers), self.dim) for count in counts]
        windows = list(_pack(counts))
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH]
            for pieces, states in zip(batch, self._encode(batch, waveforms, layers), strict=True):
                for piece in pieces:
                    own = states[piece.place // FRAME_SHIFT :]
                    seen = piece.last - piece.first
                    frames = between_frames(own, WHISPER_FRAMES, ENCODER_FRAMES, seen)
                    kept = slice(piece.start - piece.first, piece.stop - piece.first)
                    found[piece.utterance][piece.start : piece.stop] = frames[kept]
        if not all(torch.isfinite(one).all() for one in found):
            raise ValueError(
                "the Whisper encoder gives NaN or infinite values; expected finite ones: its "
                "weights are damaged, or bfloat16 is too coarse."
            )
        return [one.transpose(0, 1) for one in found]

    def _encode(
        self, windows: list[list[_Piece]], waveforms: Sequence[np.ndarray], layers: Sequence[int]
    ) -> Tensor:
        """Return (windows, 1500, layers, dim), float32, on the CPU."""
        audio = np.zeros((len(windows), WINDOW), np.float32)
        for row, pieces in zip(audio, windows, strict=True):
            for piece in pieces:
                length = FRAME_SHIFT * (piece.last - piece.first - 1) + FRAME_WINDOW
                part = waveforms[piece.utterance][FRAME_SHIFT * piece.first :][:length]
                row[piece.place : piece.place + length] = part
        device = next(self.model.parameters()).device
        spectrograms = self.extractor(
            list(audio), sampling_rate=SAMPLING_RATE, return_tensors="pt"
        ).input_features.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            states = self.model(spectrograms, output_hidden_states=True).hidden_states
        return torch.stack([states[layer].float().cpu() for layer in layers], dim=2)


def _pack(counts: Sequence[int]) -> Iterator[list[_Piece]]:
    """Yield the pieces of each window, for utterances of so many frames."""
    longest = (WINDOW - FRAME_WINDOW) // FRAME_SHIFT  # frames; the next one of Whisper lies inside
    window: list[_Piece] = []
    place = 0
    for utterance, count in enumerate(counts):
        for first, last, start, stop in _pieces(count, longest):
            samples = FRAME_SHIFT * (last - first) + FRAME_WINDOW  # of a frame more, for the last
            if window and place + samples > WINDOW:
                yield window
                window, place = [], 0
            window.append(_Piece(utterance, first, last, start, stop, place))
            place += -(-(samples + GAP) // FRAME_SHIFT) * FRAME_SHIFT
    if window:
        yield window


def _pieces(count: int, longest: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, last, start, stop): frames that are seen, and those of them that are kept."""
    if count <= longest:
        yield 0, count, 0, count
        return
    step = longest - 2 * CONTEXT
    starts = [0, *range(longest - CONTEXT, count - CONTEXT, step)]
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        first = max(0, start - CONTEXT)
        yield first, min(first + longest, count), start, stop
