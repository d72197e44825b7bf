"""Chunks of sound in, units out: a unit tokenizer on audio that is still being recorded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soxr
from transformers import PreTrainedModel

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, SAMPLING_RATE, num_frames, num_samples
from hf_rspin.audio_arrays import from_array
from hf_rspin.units import windows
from hf_rspin.units.acoustic_pieces import AcousticPieces
from hf_rspin.units.extract import units_of
from hf_rspin.units.extractors import UnitExtractor
from hf_rspin.units.stream_segments import SegmentStream
from hf_rspin.units.stream_statistics import HeardStatistics
from hf_rspin.units.unit_sequence import UnitSequence

logger = logging.getLogger(__name__)


class Tokenizer(Protocol):
    """What a stream needs of a `UnitTokenizer`."""

    model: PreTrainedModel | None
    units: str
    normalize: bool
    extractor: UnitExtractor
    pieces: AcousticPieces | None

    def unnormalized_extractor(self) -> UnitExtractor:
        """Return the extractor for waveforms that are normalised already."""


@dataclass(frozen=True, eq=False)
class StreamedUnits:
    """What has become known since the last call.

    Attributes:
        units: (frames,) int64, the unit of every further frame of 20 ms.
        segments: those that no later sound can change, with times since the start of the stream;
            the last run of units is still open, and pieces may be for longer.
    """

    units: np.ndarray
    segments: UnitSequence


@dataclass(frozen=True)
class Schedule:
    """Which frames are encoded together, and which of them are kept; all in frames of 20 ms.

    Attributes:
        width: of a window at most.
        look_ahead: frames at the end of a window that are left to the next one.
        hop: from one window's end to that of the next.
        first_end: end of the first window.
    """

    width: int
    look_ahead: int
    hop: int
    first_end: int

    @classmethod
    def of_recordings(cls) -> Schedule:
        """Return the windows in which recordings are encoded, see `chunked_inference`."""
        width, context = windows.WINDOW, windows.CONTEXT
        return cls(width, context, width - 2 * context, width)

    @classmethod
    def of_latency(cls, latency: float, context: float) -> Schedule:
        """Return windows whose units come `latency` seconds after their sound at the latest.

        Half of it the encoder hears ahead, the other half is the time between two windows.

        Raises:
            ValueError: less than 0.1 s, or no context.
        """
        half = int((latency - FRAME_WINDOW / SAMPLING_RATE) * SAMPLING_RATE / FRAME_SHIFT / 2)
        if half < 1 or not context > 0:
            raise ValueError(
                f"got a latency of {latency} s and a context of {context} s; expected at least "
                "0.1 s, and a context above 0."
            )
        before = max(1, round(context * SAMPLING_RATE / FRAME_SHIFT))
        return cls(before + 2 * half, half, half, 2 * half)

    @property
    def latency(self) -> float:
        """Seconds from the start of a frame to its unit at most, computing aside."""
        waits = max(self.first_end, self.hop + self.look_ahead)
        return (waits * FRAME_SHIFT + FRAME_WINDOW) / SAMPLING_RATE


class UnitStream:
    """Units of sound that comes in chunks of any size; made by `UnitTokenizer.stream`.

        stream = tokenizer.stream()
        for chunk in microphone:  # floats (samples,) at 16 kHz
            new = stream.push(chunk)
            new.units, new.segments.ids, new.segments.starts, new.segments.ends
        rest = stream.finish()

    How the sound is cut into chunks changes nothing. Joined, the units and segments are those that
    the tokenizer gives for the whole recording, of any length, where the encoder looks at nothing
    beyond its windows of 30 s: convolutions with layer norms (`feat_extract_norm="layer"`) and
    waveforms read as they are. Attention looks in both directions, so a frame is known when its
    window has been heard: up to 30 s later, 2 s at least; audio below 30 s at its end. With a
    smaller `latency`, a group norm over time, waveforms of mean 0 and variance 1 or MFCC, the units
    are near those of the whole: what is normalised over the recording (for MFCC: over the window)
    is normalised over what was heard so far.

    Args:
        tokenizer: makes the units.
        latency: seconds from a sound to its unit at most, computing aside; None for windows of
            30 s, as recordings have them. A window is encoded every `latency / 2` seconds.
        context: seconds before, that the encoder hears again with every window; for a `latency`.
        approximate: allow units that are not exactly those of the whole.
        sampling_rate: of the chunks in Hz; others than 16 kHz are resampled as they come.

    Attributes:
        latency: seconds from a sound to its unit at most.

    Raises:
        ValueError: the units cannot be those of the whole, and `approximate` is False.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        latency: float | None = None,
        context: float = 4.0,
        approximate: bool = False,
        sampling_rate: float = SAMPLING_RATE,
    ) -> None:
        self.tokenizer = tokenizer
        whole = Schedule.of_recordings()
        self._schedule = whole if latency is None else Schedule.of_latency(latency, context)
        self.latency = self._schedule.latency
        self._check_exact(approximate)
        self._resampler = _resampler(sampling_rate)
        # as the whole recording is encoded, and as one that goes on
        self._whole, self._extractor = tokenizer.extractor, tokenizer.extractor
        self._statistics: HeardStatistics | None = None
        if tokenizer.units != "mfcc" and self._differences(of_whole=True):
            self._statistics = HeardStatistics(tokenizer.model, tokenizer.normalize)
            if tokenizer.normalize:  # by the statistics, not once more in the extractor
                self._extractor = tokenizer.unnormalized_extractor()
        self._segments = SegmentStream(tokenizer.pieces)
        self._buffer = [np.zeros(0, np.float32)]
        self._first = 0  # frame at which the buffer begins
        self._held = 0  # samples in it
        self._counted = 0  # samples in the statistics
        self._known = 0  # frames that have their units
        self._end = self._schedule.first_end  # of the next window
        self._finished = False

    def push(self, chunk: np.ndarray) -> StreamedUnits:
        """Take further sound and return what has become known.

        Args:
            chunk: floats (samples,) within -1 and 1, as array, tensor or list; may be empty.

        Raises:
            AudioError: it is no waveform.
            ValueError: the stream is finished.
        """
        self._check_open()
        samples = np.asarray(from_array(chunk, None, SAMPLING_RATE, "the chunk"), np.float32)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._result(self._take(samples))

    def finish(self) -> StreamedUnits:
        """Return the rest: units and segments of what was not known yet.

        Raises:
            ValueError: the stream is finished already.
        """
        self._check_open()
        found = []
        if self._resampler is not None:
            found = self._take(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._finished = True
        frames = self._first + num_frames(self._held)
        if frames > self._known:
            found.append(self._encode(max(0, frames - self._schedule.width), frames, frames))
        return self._result(found, last=True)

    def _take(self, samples: np.ndarray) -> list[np.ndarray]:
        """Add samples at 16 kHz, and return the units (frames,) of every window that is full."""
        self._buffer.append(samples)
        self._held += len(samples)
        schedule, found = self._schedule, []
        # a window that ends with the recording is the last one: `finish` keeps all of it
        while self._first + num_frames(self._held) > self._end:
            first = max(0, self._end - schedule.width)
            found.append(self._encode(first, self._end, self._end - schedule.look_ahead))
            # where the sound ends now, the last window would begin after here
            self._forget(first)
            self._end += schedule.hop
        return found

    def _encode(self, first: int, end: int, stop: int) -> np.ndarray:
        """Encode frames `first` to `end`; return the units of those that are new, up to `stop`."""
        begin, stop_sample = FRAME_SHIFT * first, FRAME_SHIFT * first + num_samples(end - first)
        offset = FRAME_SHIFT * self._first
        samples = self._joined()[begin - offset : stop_sample - offset]
        if self._statistics is None:
            (units,) = units_of(self._whole, [samples])
        else:
            self._statistics.add(self._joined()[self._counted - offset : stop_sample - offset])
            self._counted = stop_sample
            units = self._encode_heard(samples, is_all=first == 0)
        new = units[self._known - first : stop - first]
        self._known = stop
        return new

    def _encode_heard(self, samples: np.ndarray, is_all: bool) -> np.ndarray:
        """Return the units (frames,) of a window, normalised over all that was heard."""
        if is_all:
            return units_of(self._whole, [samples])[0]
        with self._statistics.used():
            return units_of(self._extractor, [self._statistics.normalized(samples)])[0]

    def _joined(self) -> np.ndarray:
        if len(self._buffer) > 1:
            self._buffer = [np.concatenate(self._buffer)]
        return self._buffer[0]

    def _forget(self, first: int) -> None:
        """Drop the samples before a frame."""
        self._buffer = [self._joined()[FRAME_SHIFT * (first - self._first) :].copy()]
        self._first, self._held = first, len(self._buffer[0])

    def _result(self, found: list[np.ndarray], last: bool = False) -> StreamedUnits:
        units = np.concatenate([np.zeros(0, np.int64), *found])
        return StreamedUnits(units, self._segments.push(units, last))

    def _check_open(self) -> None:
        if self._finished:
            raise ValueError("this stream is finished; start another one with tokenizer.stream().")

    def _check_exact(self, approximate: bool) -> None:
        reasons = self._differences()
        if not reasons:
            return
        text = (
            f"a stream cannot give exactly the units of the whole recording here, as "
            f"{' and '.join(reasons)}"
        )
        if not approximate:
            raise ValueError(f"{text}: pass approximate=True for units that differ in some frames.")
        logger.warning("The units are approximate: %s.", text)

    def _differences(self, of_whole: bool = False) -> list[str]:
        """Return why the units are not those of the whole, as parts of a sentence.

        Args:
            of_whole: only what is normalised over the whole recording.
        """
        tokenizer, found = self.tokenizer, []
        if tokenizer.normalize:
            found.append("the model reads waveforms of mean 0 and variance 1 (do_normalize)")
        if tokenizer.units == "mfcc":
            found.append("MFCC are relative to the mean of all frames")
        elif getattr(tokenizer.model.config, "feat_extract_norm", None) == "group":
            found.append("the first convolution has a group norm over time")
        if not of_whole and self._schedule != Schedule.of_recordings():
            ahead = self._schedule.look_ahead * FRAME_SHIFT / SAMPLING_RATE
            found.append(f"a latency of {self.latency:.2f} s lets it hear only {ahead:.2f} s ahead")
        return found


def _resampler(sampling_rate: float) -> soxr.ResampleStream | None:
    if isinstance(sampling_rate, bool) or not sampling_rate > 0:
        raise ValueError(f"sampling_rate is {sampling_rate}; expected a positive number of Hz.")
    if sampling_rate == SAMPLING_RATE:
        return None
    return soxr.ResampleStream(sampling_rate, SAMPLING_RATE, 1, dtype="float32")
