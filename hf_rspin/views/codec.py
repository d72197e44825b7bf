"""Speech as a codec leaves it: MP3, and the telephone.

Encoded and decoded in memory with libsndfile, which reads the audio of the corpus too. The delay
of a codec is taken back (measured: 0 samples for those used here), so that views stay aligned.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from ..audio import FRAME_WINDOW, SAMPLING_RATE
from .audiomentation import Audiomentation
from .compose import Chain
from .transform import Transform, UtteranceInfo

TELEPHONE_RATE = 8000
TELEPHONE_BAND_HZ = (300.0, 3400.0)


@dataclass(frozen=True)
class CodecSetting:
    """A format of libsndfile, and how much it compresses.

    Attributes:
        format: container, such as "MP3" or "WAV".
        subtype: codec, such as "MPEG_LAYER_III" or "ULAW".
        compression: 0 (best) to 1 (smallest); None where the codec has one size.
    """

    format: str
    subtype: str
    compression: float | None = None


# Average bit rate: in files of the lowest constant rates the decoder loses track of LAME's delay
# of 1105 samples. About 58, 28 and 12 kbit/s at 16 kHz.
MP3_SETTINGS = tuple(CodecSetting("MP3", "MPEG_LAYER_III", c) for c in (0.7, 0.9, 0.99))
# G.711 of the fixed network (64 kbit/s) and GSM full rate (13 kbit/s)
TELEPHONE_SETTINGS = tuple(CodecSetting("WAV", s) for s in ("ULAW", "ALAW", "GSM610"))


class Codec(Transform):
    """Encodes and decodes a waveform, with one of several settings drawn per utterance.

    Louder waveforms than full scale are scaled into it and back. Silence and waveforms under one
    encoder frame (400 samples) are left as they are.

    Args:
        settings: drawn from uniformly.
        codec_rate: sampling rate inside the codec in Hz; below `sampling_rate` the band is cut.
        sampling_rate: of the waveforms in Hz.
        name: of the transform.

    Raises:
        ValueError: there is no setting, or libsndfile cannot encode one at that rate.
    """

    def __init__(
        self,
        settings: Sequence[CodecSetting] = MP3_SETTINGS,
        codec_rate: int = SAMPLING_RATE,
        sampling_rate: int = SAMPLING_RATE,
        name: str = "codec",
    ):
        if not settings:
            raise ValueError("got no settings of a codec, expected at least one CodecSetting.")
        for setting in settings:
            _check_setting(setting, codec_rate)
        self.settings, self.codec_rate = tuple(settings), codec_rate
        self.sampling_rate, self.name = sampling_rate, name

    def draw(self, generator: np.random.Generator, utterance: UtteranceInfo) -> CodecSetting:
        """Draw a setting."""
        return self.settings[int(generator.integers(len(self.settings)))]

    def apply(self, waveform: np.ndarray, parameters: CodecSetting) -> np.ndarray:
        """Send (samples,) through the codec."""
        peak = float(np.abs(waveform).max(initial=0.0))
        if len(waveform) < FRAME_WINDOW or peak == 0.0:
            return waveform
        scale = np.float32(max(1.0, peak))
        # soxr's filters have linear phase and their delay taken out
        coded = soxr.resample(waveform / scale, self.sampling_rate, self.codec_rate)
        decoded = round_trip(coded, self.codec_rate, parameters)
        output = soxr.resample(decoded, self.codec_rate, self.sampling_rate)
        # codecs work in blocks: what they add at the end is cut, what a resampler lacks is silent
        output = output[: len(waveform)]
        padding = np.zeros(len(waveform) - len(output), dtype=np.float32)
        return np.concatenate([output, padding]) * scale


def mp3(sampling_rate: int = SAMPLING_RATE) -> Codec:
    """Return MP3 at about 58, 28 or 12 kbit/s."""
    return Codec(MP3_SETTINGS, sampling_rate, sampling_rate, name="mp3")


def telephone(sampling_rate: int = SAMPLING_RATE) -> Chain:
    """Return a telephone line: 300 to 3400 Hz, then G.711 or GSM full rate at 8 kHz.

    The band comes from audiomentations' Butterworth filter, run both ways: no phase, no delay.
    """
    low, high = TELEPHONE_BAND_HZ
    center = (low + high) / 2
    width = (high - low) / center
    band = Audiomentation(
        "BandPassFilter",
        sampling_rate,
        min_center_freq=center,
        max_center_freq=center,
        min_bandwidth_fraction=width,
        max_bandwidth_fraction=width,
        min_rolloff=24,
        max_rolloff=24,
        zero_phase=True,
        p=1.0,
    )
    line = Codec(TELEPHONE_SETTINGS, TELEPHONE_RATE, sampling_rate, name="telephone_codec")
    return Chain([band, line], name="telephone")


def _check_setting(setting: CodecSetting, rate: int) -> None:
    """Refuse now what libsndfile would refuse at the first utterance."""
    try:
        round_trip(np.zeros(FRAME_WINDOW, dtype=np.float32), rate, setting)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise ValueError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot encode {setting} at {rate} Hz "
            f"({error}): use another codec_rate, such as 16000, or a newer libsndfile."
        ) from error


def round_trip(waveform: np.ndarray, rate: int, setting: CodecSetting) -> np.ndarray:
    """Encode and decode (samples,) float32 at `rate` Hz; the end may be longer."""
    file = io.BytesIO()
    # see `MP3_SETTINGS`; other formats have one mode
    is_mp3 = setting.format == "MP3" and setting.compression is not None
    soundfile.write(
        file,
        waveform,
        rate,
        subtype=setting.subtype,
        format=setting.format,
        compression_level=setting.compression,
        bitrate_mode="AVERAGE" if is_mp3 else None,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return decoded
