"""Centres of a published k-means: .npy, .npz, or scikit-learn's by joblib or pickle, never run."""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hf_rspin.inert_pickle import BoundedStream, CheckpointError, Global, Inert, read_pickle

MOST_BYTES = 1 << 30  # 100,000 centres of 1,280 dimensions in float64
CENTRES = "cluster_centers_"
NAMES = (CENTRES, "cluster_centers", "centers", "centres", "centroids")  # in .npz
WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
NUMBERS = re.compile(r"[fiu][1248]")  # codes of dtypes
SAVE_ANEW = 'np.save("centres.npy", kmeans.cluster_centers_)'


def read_centres(path: str | Path) -> np.ndarray:
    """Return the centres (clusters, dim), float32, of a file of k-means.

    A pickle is a program; it is taken apart without running anything of it, see `inert_pickle`.

    Args:
        path: .npy or .npz of numbers; or what scikit-learn's (MiniBatch)KMeans is by `joblib.dump`
            (plain, zlib or gzip) or `pickle.dump`.

    Raises:
        ValueError: there is no such file, it is none of these, or holds no finite centres.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a file with the centres of a k-means.")
    try:
        centres = _content(path)
        if centres.ndim != 2 or 0 in centres.shape or centres.dtype.kind not in "fiu":
            raise CheckpointError(
                f"it holds {centres.dtype} of shape {centres.shape}, expected numbers of shape "
                "(clusters, dim)"
            )
        if not np.isfinite(centres).all():
            raise CheckpointError("its centres are NaN or infinite")
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is no k-means that can be read here ({str(error).rstrip('.')}); expected "
            "centres in .npy or .npz, or scikit-learn's KMeans by joblib or pickle: save them from "
            f"where the file can be opened, with {SAVE_ANEW}."
        ) from error
    return np.array(centres, dtype=np.float32, order="C")


def _content(path: Path) -> np.ndarray:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise CheckpointError(f"it has {size} bytes; expected at most {MOST_BYTES}")
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        if start == b"\x93NUMPY":
            return np.load(file, allow_pickle=False)
        if start.startswith(b"PK"):
            return _of_archive(file)
        if start.startswith((b"\x78", b"\x1f\x8b")):
            data = _unpacked(file.read(), start)
            return _of_pickle(BytesIO(data), len(data))
        if start.startswith(b"\x80"):
            return _of_pickle(file, size)
    raise CheckpointError("it begins like none of these")


def _of_archive(file: BinaryIO) -> np.ndarray:
    with np.load(file, allow_pickle=False) as arrays:
        named = [name for name in NAMES if name in arrays.files] or arrays.files
        if len(named) != 1:
            raise CheckpointError(
                f"it is an archive of {', '.join(arrays.files[:5]) or 'nothing'}; expected one "
                f"array, or one called {CENTRES}"
            )
        found = arrays[named[0]]
    if not isinstance(found, np.ndarray):
        raise CheckpointError(f"it is an archive with {named[0]}, which is no array")
    return found


def _unpacked(data: bytes, start: bytes) -> bytes:
    """Decompress what joblib compressed with zlib or gzip, up to `MOST_BYTES`."""
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(BytesIO(data)) as file:
            found = file.read(MOST_BYTES + 1)
    else:
        found = zlib.decompressobj().decompress(data, MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise CheckpointError(f"it unpacks to more than {MOST_BYTES} bytes")
    return found


def _of_pickle(file: BinaryIO, size: int) -> np.ndarray:
    """Return the centres of what joblib or pickle wrote."""
    reader, names = _Arrays(BoundedStream(file, size), size), {}
    content = read_pickle(reader.stream, reader.builders(), _no_reference, names, reader.inline)
    state = content.state if isinstance(content, Inert) and content.name != "array" else content
    found = state.get(CENTRES) if isinstance(state, dict) else state
    centres = reader.array(found)
    if centres is None:
        kind = content.name if isinstance(content, Inert) else type(content).__name__
        mentioned = ", ".join(list(names)[:5]) or "no class"
        raise CheckpointError(f"it is a pickle of {kind} without {CENTRES}; it names {mentioned}")
    return centres


def _no_reference(_: tuple) -> Any:
    raise CheckpointError("its pickle refers to something outside of it")


class _Arrays:
    """Makes arrays of what a pickle says of them, and of what joblib writes between opcodes.

    Args:
        stream: of the pickle.
        size: bytes that it has; no more are copied out of strings.
    """

    def __init__(self, stream: BoundedStream, size: int) -> None:
        self.stream, self.left = stream, 2 * size

    def builders(self) -> Mapping[str, Any]:
        """Return what stands for the few calls that arrays and plain objects need."""
        found = {
            "numpy.dtype": lambda arguments: Inert(
                f"dtype {arguments[0]}" if arguments else "dtype"
            ),
            "_codecs.encode": self._encode,
        }
        for module in ("numpy.core", "numpy._core"):
            found[f"{module}.multiarray._reconstruct"] = lambda _: Inert("array")
            found[f"{module}.numeric._frombuffer"] = lambda arguments: Inert("array", arguments)
        for module in ("copyreg", "copy_reg"):
            found[f"{module}._reconstructor"] = _plain_object
        return found

    def inline(self, built: Inert) -> Any:
        """Read the array that follows the wrapper of joblib; leave other objects as they are."""
        if built.name != WRAPPER or not isinstance(built.state, dict):
            return built
        state = built.state
        kind = _dtype(state.get("dtype"))
        shape = _shape(state.get("shape"))
        if state.get("numpy_array_alignment_bytes") is not None:
            self.stream.read(int.from_bytes(self.stream.read(1), "little"))
        count = math.prod(shape) * kind.itemsize
        return _array(self.stream.read(count), kind, shape, state.get("order") == "F")

    def array(self, value: Any) -> np.ndarray | None:
        """Return the array that an object of the pickle stands for; None for another object."""
        if isinstance(value, np.ndarray):
            return value
        state = value.state if isinstance(value, Inert) and value.name == "array" else None
        if isinstance(state, tuple) and len(state) == 5:  # version, shape, dtype, Fortran, data
            return _array(state[4], _dtype(state[2]), _shape(state[1]), state[3] is True)
        if isinstance(state, tuple) and len(state) == 4:  # data, dtype, shape, order
            return _array(state[0], _dtype(state[1]), _shape(state[2]), state[3] == "F")
        return None

    def _encode(self, arguments: tuple) -> bytes | Inert:
        """Return bytes that an old protocol holds as text."""
        text = arguments[0] if arguments and type(arguments[0]) is str else ""
        self.left -= len(text)
        if self.left < 0:
            raise CheckpointError("its pickle copies more bytes than it has")
        return text.encode("latin1", "replace")


def _plain_object(arguments: tuple) -> Inert:
    kind = arguments[0] if arguments else None
    return Inert(kind.name if isinstance(kind, Global) else "?")


def _dtype(value: Any) -> np.dtype:
    """Return the dtype of numbers that a pickle describes.

    Raises:
        CheckpointError: objects, text or the like.
    """
    state = value.state if isinstance(value, Inert) and value.name.startswith("dtype") else None
    code = value.name.removeprefix("dtype ") if state is not None else "?"
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "?"
    if not NUMBERS.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise CheckpointError("it holds an array of something else than numbers")
    return np.dtype(order + code)


def _shape(value: Any) -> tuple[int, ...]:
    known = isinstance(value, tuple) and len(value) <= 8
    if not known or not all(type(size) is int and 0 <= size < 2**40 for size in value):
        raise CheckpointError("it holds an array without a shape")
    return value


def _array(data: Any, kind: np.dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    """Return the array of raw bytes.

    Raises:
        CheckpointError: they are of another length.
    """
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * kind.itemsize:
        raise CheckpointError("an array in it is cut off")
    flat = np.frombuffer(data, kind)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
