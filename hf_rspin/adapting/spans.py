"""Five minutes of a recording at a time: what is drawn, read and cut, and done again or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from hf_rspin.adapting.channels import choose_channels
from hf_rspin.adapting.silences import quietest, speech_parts
from hf_rspin.adapting.survey import Recording
from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.audio_files import decode_channels

SPAN_SECONDS = 300.0
REACH = 2.0  # seconds beside the border of two spans in which its pause is looked for


@dataclass(frozen=True)
class Span:
    """A stretch of a recording; `number` counts the recordings."""

    recording: Recording
    number: int
    start: float
    stop: float

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.number:06d}_{round(self.start):06d}"


@dataclass(frozen=True)
class Part:
    """Something to hear: `waveform` (samples,) at 16 kHz from `start` seconds of a recording on."""

    recording: str
    channel: str
    start: float
    waveform: np.ndarray

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.waveform) / SAMPLING_RATE


def draw_spans(
    recordings: Sequence[Recording], hours: float | None = None, seed: int = 0
) -> list[Span]:
    """Return the spans of recordings in random order, as many as `hours` hold, at least one.

    Args:
        recordings: of a survey.
        hours: None takes all.
        seed: of the order.
    """
    spans = []
    for number, one in enumerate(recordings):
        count = max(1, round(one.seconds / SPAN_SECONDS))
        edges = np.linspace(0, one.seconds, count + 1)
        spans += [Span(one, number, *map(float, pair)) for pair in zip(edges, edges[1:],
                                                                       strict=False)]  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(spans))
    spans = [spans[index] for index in order]
    if hours is None:
        return spans
    total = np.cumsum([span.stop - span.start for span in spans])
    return spans[: max(1, int(np.searchsorted(total, 3600 * hours, side="right")))]


def read_span(span: Span, seconds: float | None = None) -> tuple[np.ndarray, int, float]:
    """Return the samples (samples, channels) of a span, their rate in Hz, and where they begin.

    Spans meet in the quietest place near their border, so that no word is cut.

    Args:
        span: what to read.
        seconds: read only its beginning.

    Raises:
        AudioError: the file cannot be read.
    """
    whole = span.recording.seconds
    stop = span.stop if seconds is None else min(span.stop, span.start + seconds)
    first, last = max(0.0, span.start - REACH), min(whole, stop + REACH)
    rate = span.recording.rate
    samples = decode_channels(span.recording.file, int(first * rate), int(last * rate))
    begin = 0 if span.start == 0 else _pause(samples, rate, span.start - first)
    end = len(samples) if stop >= whole else _pause(samples, rate, stop - first)
    return samples[begin:end], rate, first + begin / rate


def cut_span(
    span: Span, channel: str, longest: float, seconds: float | None = None
) -> list[Part]:
    """Return what there is to hear in a span.

    Args:
        span: of a recording.
        channel: see `choose_channels`.
        longest: part, in seconds.
        seconds: look at the beginning only.

    Raises:
        AudioError: the file cannot be read.
    """
    samples, rate, begin = read_span(span, seconds)
    parts = []
    for name, waveform in choose_channels(samples, channel).items():
        if rate != SAMPLING_RATE:
            waveform = soxr.resample(waveform, rate, SAMPLING_RATE)
        waveform = np.ascontiguousarray(waveform, dtype=np.float32)
        for start, stop in speech_parts(waveform, longest):
            place = begin + start / SAMPLING_RATE
            parts.append(Part(span.recording.name, name, place, waveform[start:stop].copy()))
    return parts


def _pause(samples: np.ndarray, rate: int, near: float) -> int:
    """Return the sample in the middle of the quietest 0.2 s within `REACH` of a time.

    Both spans read the same samples there, and find the same place.
    """
    frame = round(rate * FRAME_SHIFT / SAMPLING_RATE)
    reach = int(REACH * rate)
    first = max(0, int(near * rate) - reach)
    mono = samples[first : int(near * rate) + reach].mean(axis=1)
    mono = mono[: len(mono) // frame * frame].reshape(-1, frame)
    if len(mono) < 2:
        return int(near * rate)
    levels = 10 * np.log10(np.square(mono).mean(axis=1) + 1e-12)
    return first + frame * quietest(levels, 0, len(levels))
