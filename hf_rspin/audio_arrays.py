"""Audio in memory: floats of numpy, torch, lists and `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from hf_rspin.audio_files import AudioError, check_samples, source_name


def is_recording(source: object) -> bool:
    """Say whether `source` is one recording that `read_audio` takes, and not several of them."""
    if isinstance(source, list | tuple):
        return len(source) > 0 and all(isinstance(x, int | float | np.number) for x in source)
    known = isinstance(source, str | Path | bytes | bytearray | Mapping | np.ndarray)
    return known or hasattr(source, "read") or _is_tensor(source) or _is_decoder(source)


def _is_tensor(source: object) -> bool:
    return hasattr(source, "detach") and hasattr(source, "numpy")


def _is_decoder(source: object) -> bool:
    """Recognise decoded audio of `datasets` 4 and later, which is no mapping."""
    return hasattr(source, "__getitem__") and hasattr(source, "get_all_samples")


def array_of(source: Any, rate: float | None) -> tuple[Any, float | None]:
    """Return the floats of `source` and their rate in Hz.

    Raises:
        AudioError: decoded audio does not answer.
    """
    if not isinstance(source, Mapping) and not _is_decoder(source):
        return source, rate
    try:
        known = source["sampling_rate"]
        return source["array"], rate if known is None else known
    except KeyError:
        return source["array"], rate
    except (RuntimeError, OSError, TypeError) as error:
        raise AudioError(f"{source_name(source)} could not be decoded ({error}).") from error


def from_array(source: Any, rate: float | None, target: int, name: str) -> np.ndarray:
    """Return floats (samples,) at the rate `target`.

    Raises:
        AudioError: they are no waveform of finite floats within about -1 and 1.
    """
    if _is_tensor(source):
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()  # bfloat16 too
    if isinstance(source, list | tuple) and is_recording(source):
        source = np.asarray(source)
    if not isinstance(source, np.ndarray):
        raise AudioError(
            f"got {name} as {type(source).__name__}; expected a path, bytes, a binary file, "
            "floats as an array, tensor or list, or a list of those."
        )
    if source.ndim != 1:
        raise AudioError(
            f"got {name} with shape {source.shape}; expected (samples,), one channel: pass a "
            "list of waveforms for a batch, the mean over channels for stereo."
        )
    if source.dtype.kind != "f":
        raise AudioError(
            f"got {name} as {source.dtype}; expected floats within -1 and 1: divide 16-bit "
            "integers by 32768."
        )
    check_samples(source, name)
    if rate is None or rate == target or len(source) == 0:
        return source
    if isinstance(rate, bool) or not rate > 0:
        raise AudioError(f"sampling_rate is {rate}; expected a positive number of Hz.")
    return soxr.resample(source.astype(np.float32), rate, target)
