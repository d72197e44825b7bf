"""Frozen features of many utterances, computed by several threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from hf_rspin.device import release_memory
from hf_rspin.evaluation.features import EncoderFeatures

FRAMES_AT_ONCE = 2000  # 40 s of audio; giving memory back takes milliseconds
WaveformReader = Callable[[int], np.ndarray]


def stream_features(
    encoder_features: EncoderFeatures,
    read: WaveformReader,
    count: int,
    num_workers: int = 1,
    bar: tqdm | None = None,
) -> Iterator[Tensor]:
    """Yield the features (layers, frames, dim) of examples 0 .. count - 1, in order.

    Args:
        encoder_features: waveform (samples,) -> (layers, frames, dim).
        read: index -> waveform (samples,); reading and distorting run in the workers as well.
        count: number of examples.
        num_workers: threads; each runs whole utterances, which scales better on a CPU than
            several threads inside one short utterance.
        bar: a progress bar, moved on by one per example.
    """

    frames = 0

    def finish(job) -> Tensor:
        nonlocal frames
        features = job.result()
        frames += features.shape[1]
        if frames >= FRAMES_AT_ONCE:
            frames = 0
            # of examples sorted by length each needs a little more than the one before it left:
            # freed memory would grow to gigabytes
            release_memory()
        if bar is not None:
            bar.update()
        return features

    with ThreadPoolExecutor(num_workers) as pool:
        pending: deque = deque()
        try:
            for index in range(count):
                pending.append(pool.submit(lambda i: encoder_features(read(i)), index))
                if len(pending) > num_workers + 1:
                    yield finish(pending.popleft())
            while pending:
                yield finish(pending.popleft())
        finally:  # an error or a kill: what has not begun need not be waited for
            for job in pending:
                job.cancel()
