"""Frozen features on disk: written utterance by utterance, read as they are needed."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.lib.format import open_memmap, write_array_header_1_0
from torch import Tensor

from hf_rspin.utils import write_json

_INDEX, _FEATURES = "index.json", "features.npy"


class FeatureStore:
    """Features of a corpus: an .npy file of shape (all frames, layers, dim), read as it is needed.

    The index is written last, so a folder without one is an interrupted extraction.

    Attributes:
        key: what was computed.
        lengths: frames per utterance.
        num_layers: number of layers.
        dim: dimensions of each.
        layer_norms: mean L2 norm per layer, (layers,).
        num_bytes: on disk.

    Raises:
        FileNotFoundError: the folder holds no finished store.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / _INDEX).is_file():
            raise FileNotFoundError(f"{folder} holds no finished features; extract them again.")
        index = json.loads((self.folder / _INDEX).read_text())
        self.key: str = index["key"]
        self.lengths: list[int] = index["lengths"]
        self.layer_norms = torch.tensor(index["layer_norms"])
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(int)
        values = open_memmap(self.folder / _FEATURES, mode="r")
        _, self.num_layers, self.dim = values.shape
        self.num_bytes = values.nbytes
        self._dtype, self._offset = values.dtype, values.offset
        self._buffer = torch.empty(0)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Tensor:
        """Return the features of one utterance, (layers, frames, dim) float32."""
        return self.gather([index])[0]

    def peek(self, index: int) -> Tensor:
        """Return the features of one utterance in memory that the next one overwrites.

        Fresh memory for each of some thousand utterances, of which something small is kept, leaves
        holes: a corpus sorted by length then takes as much as if all of it were kept.
        """
        return self.gather([index], reuse=True)[0]

    def layer(self, index: int, layer: int) -> Tensor:
        """Return one layer of one utterance, (frames, dim) float32."""
        return self._frames(index)[:, layer].float()

    def means(self) -> np.ndarray:
        """Return the mean over frames of every utterance, (utterances, layers, dim) float32."""
        every = range(len(self))
        return np.stack([self.peek(index).mean(1).numpy() for index in every])

    def gather(
        self, indices: Sequence[int], reuse: bool = False
    ) -> tuple[Tensor, list[int]]:
        """Return the concatenated frames (layers, sum of frames, dim) float32, and the lengths.

        Args:
            indices: utterances.
            reuse: write into the memory of the last batch so gathered, which then changes: three
                times faster, as fresh pages of memory cost more than the copy.
        """
        lengths = [self.lengths[i] for i in indices]
        shape = (self.num_layers, sum(lengths), self.dim)
        if reuse and self._buffer.numel() < math.prod(shape):
            self._buffer = torch.empty(math.prod(shape) * 3 // 2)  # the next may be a bit longer
        batch = self._buffer[: math.prod(shape)].view(shape) if reuse else torch.empty(shape)
        position = 0
        for index, length in zip(indices, lengths, strict=True):
            batch[:, position : position + length] = self._frames(index).transpose(0, 1)
            position += length
        return batch, lengths

    def _frames(self, index: int) -> Tensor:
        """Map the frames of one utterance (frames, layers, dim), as they are stored.

        One utterance at a time: what stays mapped counts as memory, up to all of the corpus. torch
        converts half precision several times faster than numpy. Mode "c" (copy on write) is what
        torch asks for: it does not know read-only memory.
        """
        shape = (self.lengths[index], self.num_layers, self.dim)
        row = self.num_layers * self.dim * self._dtype.itemsize
        offset = self._offset + int(self._starts[index]) * row
        return torch.from_numpy(
            np.memmap(self.folder / _FEATURES, self._dtype, "c", offset, shape)
        )


def _not_finite(values: Tensor, utterance: int, dtype: torch.dtype) -> str:
    """Say which layer of (layers, frames, dim) cannot be kept in `dtype`, and what to do."""
    layers = [layer for layer, one in enumerate(values) if not torch.isfinite(one).all()]
    if layers:
        return (
            f"layer {layers[0]} of utterance {utterance} holds values that are no finite numbers: "
            "its audio or the weights are damaged; remove the utterance, or compute in float32 "
            "(--bf16 false)."
        )
    sizes = values.abs().amax(dim=(1, 2))
    layer = int(sizes.argmax())
    kept = f"{str(dtype).removeprefix('torch.')} holds ({torch.finfo(dtype).max:.0f})"
    return (
        f"layer {layer} of utterance {utterance} holds values up to {float(sizes[layer]):.3g}, "
        f"more than {kept}: keep features in float32 (--feature_dtype float32), which takes twice "
        "the space on disk."
    )


def open_store(folder: str | Path, key: str) -> FeatureStore | None:
    """Open the finished store in `folder` when it was made under the same `key`."""
    try:
        store = FeatureStore(folder)
    except FileNotFoundError:
        return None
    return store if store.key == key else None


class FeatureError(ValueError):
    """An encoder gave what cannot be kept, or the disk cannot keep it."""


@contextlib.contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """Say in a sentence that a folder cannot be written to.

    Raises:
        FeatureError: the disk is full, or the folder may not be written to.
    """
    try:
        yield
    except OSError as error:
        raise FeatureError(
            f"features cannot be written to {folder} ({error.strerror or error}): free some space, "
            "or name an output folder that can be written to."
        ) from error


class StoreWriter:
    """Writes a store utterance by utterance; without `close`, the folder holds no finished store.

    Args:
        folder: made here; an older store in it is replaced.
        key: identifies what was computed; `open_store` refuses another.
        dtype: float16 halves the space; float32 keeps every bit.

    Example:
        >>> writer = StoreWriter("features", "hubert, test")
        >>> for frames in (50, 80):  # of two utterances
        ...     added = writer.add(torch.zeros(13, frames, 768))
        >>> store = writer.close()
    """

    def __init__(self, folder: str | Path, key: str, dtype: torch.dtype = torch.float16) -> None:
        self.folder, self.key, self.dtype = Path(folder), key, dtype
        with _written_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _INDEX).unlink(missing_ok=True)
            self._file: BinaryIO = open(self.folder / _FEATURES, "wb")
        self._lengths: list[int] = []
        self._norms: Tensor | float = 0.0
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> StoreWriter:
        """Close the file at the end, whatever happens."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # closing writes what is left in memory; where something failed before, that is the reason
        with _written_to(self.folder) if kind is None else contextlib.suppress(OSError):
            self._file.close()

    def add(self, values: Tensor) -> Tensor:
        """Write the features (layers, frames, dim) of the next utterance; return what is stored.

        Raises:
            FeatureError: a feature is not finite in `dtype`, or cannot be written.
        """
        stored = values.transpose(0, 1).to(self.dtype).contiguous()  # (frames, layers, dim)
        if not torch.isfinite(stored).all():
            raise FeatureError(_not_finite(values, len(self._lengths), self.dtype))
        if self._shape is None:
            self._shape = tuple(stored.shape[1:])
            self._numpy_dtype = stored.numpy().dtype
            with _written_to(self.folder):
                _write_header(self._file, self._numpy_dtype, (0, *self._shape))
        with _written_to(self.folder):
            self._file.write(stored.numpy().tobytes())
        self._lengths.append(len(stored))
        self._norms = self._norms + values.norm(dim=-1).sum(dim=1)  # (layers,)
        return stored.transpose(0, 1).float()

    def close(self) -> FeatureStore:
        """Write the index and open the store.

        Raises:
            ValueError: there was no utterance.
        """
        if self._shape is None:
            raise ValueError("got no utterance; expected at least one to extract features from.")
        count = sum(self._lengths)
        norms = (self._norms / count).tolist()
        index = {"key": self.key, "lengths": self._lengths, "layer_norms": norms}
        with _written_to(self.folder):
            self._file.seek(0)  # numpy leaves room in the header for the first axis to grow
            _write_header(self._file, self._numpy_dtype, (count, *self._shape))
            self._file.close()
            write_json(self.folder / _INDEX, index)
        return FeatureStore(self.folder)


def write_store(
    folder: str | Path, features: Iterable[Tensor], key: str, dtype: torch.dtype = torch.float16
) -> FeatureStore:
    """Write a stream of (layers, frames, dim) to `folder` and open it; see `StoreWriter`.

    Raises:
        FeatureError: a feature is not finite in `dtype`.
        ValueError: there were none.
    """
    with StoreWriter(folder, key, dtype) as writer:
        for values in features:
            writer.add(values)
        return writer.close()


def _write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
