"""Frozen features, computed once and kept on disk in half precision."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_rspin.evaluation.featurizer import FrontEnd

WaveformReader = Callable[[int], np.ndarray]
_INDEX, _FEATURES = "index.json", "features.f16"


def stream_features(
    front_end: FrontEnd,
    read: WaveformReader,
    count: int,
    num_workers: int = 1,
    description: str = "features",
) -> Iterator[Tensor]:
    """Yield the features (layers, frames, dim) of examples 0 .. count - 1, in order.

    Args:
        read: index -> waveform (samples,); reading and distorting run in the workers as well.
        num_workers: threads; each runs whole utterances, which scales better on a CPU than
            several threads inside one short utterance.
        description: the label of the progress bar.
    """
    with ThreadPoolExecutor(num_workers) as pool, tqdm(total=count, desc=description) as bar:
        pending: deque = deque()
        for index in range(count):
            pending.append(pool.submit(lambda i: front_end(read(i)), index))
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
                bar.update()
        while pending:
            yield pending.popleft().result()
            bar.update()


class FeatureStore:
    """Features of a corpus: a float16 file of shape (all frames, layers, dim), memory-mapped.

    The index is written last, so a folder without one is an interrupted extraction.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a finished store.

        Raises:
            FileNotFoundError: the folder holds no finished store.
        """
        self.folder = Path(folder)
        if not (self.folder / _INDEX).is_file():
            raise FileNotFoundError(f"{folder} holds no finished features; extract them again.")
        index = json.loads((self.folder / _INDEX).read_text())
        self.key: str = index["key"]
        self.lengths: list[int] = index["lengths"]  # frames per utterance
        self.num_layers, self.dim = index["num_layers"], index["dim"]
        self.layer_norms = torch.tensor(index["layer_norms"])  # mean L2 norm per layer
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(int)
        shape = (int(self._starts[-1]), self.num_layers, self.dim)
        # Mapped, not read; torch converts half precision several times faster than numpy.
        mapped = torch.from_file(
            str(self.folder / _FEATURES), size=math.prod(shape), dtype=torch.float16
        )
        self._values = mapped.view(shape)
        self._buffer = torch.empty(0)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.lengths)

    def __getitem__(self, index: int) -> Tensor:
        """Return the features of one utterance, (layers, frames, dim) float32."""
        return self.gather([index])[0]

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
            self._buffer = torch.empty(math.prod(shape))
        batch = self._buffer[: math.prod(shape)].view(shape) if reuse else torch.empty(shape)
        position = 0
        for index, length in zip(indices, lengths, strict=True):
            frames = self._values[self._starts[index] : self._starts[index + 1]]
            batch[:, position : position + length] = frames.transpose(0, 1)
            position += length
        return batch, lengths


def open_store(folder: str | Path, key: str) -> FeatureStore | None:
    """Open the finished store in `folder` when it was made under the same `key`."""
    try:
        store = FeatureStore(folder)
    except FileNotFoundError:
        return None
    return store if store.key == key else None


def write_store(folder: str | Path, features: Iterator[Tensor], key: str) -> FeatureStore:
    """Write a stream of (layers, frames, dim) to `folder` and open it.

    Args:
        key: identifies what was computed; `open_store` refuses another.

    Raises:
        ValueError: a feature is not finite in float16, or there were none.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _INDEX).unlink(missing_ok=True)
    lengths, norms, shape = [], 0.0, None
    with open(folder / _FEATURES, "wb") as file:
        for index, values in enumerate(features):
            halved = values.transpose(0, 1).half().contiguous()  # (frames, layers, dim)
            if not torch.isfinite(halved).all():
                raise ValueError(f"utterance {index} has features beyond float16; clip its audio.")
            file.write(halved.numpy().tobytes())
            lengths.append(halved.shape[0])
            norms = norms + values.norm(dim=-1).sum(dim=1)  # (layers,)
            shape = halved.shape[1:]
    if shape is None:
        raise ValueError("no utterance came; expected at least one to extract features from.")
    index = {
        "key": key, "lengths": lengths, "num_layers": shape[0], "dim": shape[1],
        "layer_norms": (norms / sum(lengths)).tolist(),
    }
    temporary = folder / (_INDEX + ".part")
    temporary.write_text(json.dumps(index))
    os.replace(temporary, folder / _INDEX)
    return FeatureStore(folder)
