"""Batches of pre-training: crops of one length, the labels of their frames, and masks.

One training item is one whole batch, a function of (seed, update) alone, so a run that was killed
goes on exactly where it stopped.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE, normalize_waveforms, num_frames
from hf_rspin.data import SkippedFiles
from hf_rspin.data.collator import BatchInfo
from hf_rspin.training.crop_plan import CropPlan


def draw_mask(
    batch: int, frames: int, generator: np.random.Generator, start: float = 0.08, span: int = 10
) -> np.ndarray:
    """Draw masks (batch, frames) bool: a share `start` of frames opens a span of `span` frames.

    Spans may overlap: at the defaults about half of the frames end up masked.
    """
    span = min(span, frames)
    mask = np.zeros((batch, frames), dtype=bool)
    number = max(1, int(start * frames + generator.random()))
    for row in mask:
        for first in generator.choice(frames - span + 1, min(number, frames - span + 1), False):
            row[first : first + span] = True
    return mask


class PretrainingBatches(Dataset):
    """Item i is the batch of update i: crops of similar length, their labels and their masks.

    An utterance is cropped about once per `crop_seconds` of its duration in every epoch. All
    crops of a batch have one length, so no padding reaches the GroupNorm of the front end.

    Args:
        waveforms: int16 arrays (samples,) at 16 kHz, in memory.
        labels: int arrays (frames,), one per waveform.
        num_updates: length of the data set.
        batch_seconds: audio per batch in seconds.
        crop_seconds: longest crop in seconds.
        mask_span: frames that one mask covers.
        mask_start: share of the frames that open a mask; times the span, about the share masked.
        do_normalize: feed waveforms of mean 0 and variance 1.
    """

    def __init__(
        self,
        waveforms: list[np.ndarray],
        labels: list[np.ndarray],
        num_updates: int,
        batch_seconds: float = 72.0,
        crop_seconds: float = 3.0,
        seed: int = 0,
        mask_span: int = 10,
        mask_start: float = 0.08,
        do_normalize: bool = False,
    ):
        for index, (waveform, label) in enumerate(zip(waveforms, labels, strict=True)):
            if num_frames(len(waveform)) != len(label):
                raise ValueError(
                    f"utterance {index} has {num_frames(len(waveform))} frames but {len(label)} "
                    "labels; make the labels again from the same audio."
                )
        self.waveforms, self.labels, self.num_updates = waveforms, labels, num_updates
        self.full_durations = np.array([len(w) / SAMPLING_RATE for w in waveforms])  # seconds
        self.durations = np.minimum(self.full_durations, crop_seconds)
        self.skipped = SkippedFiles()
        self.seed = seed
        self.mask_span, self.mask_start = mask_span, mask_start
        self.do_normalize = do_normalize
        self.plan = CropPlan(self.full_durations, batch_seconds, crop_seconds, seed)

    def __len__(self) -> int:
        return self.num_updates

    def __getitem__(self, update: int) -> dict[str, torch.Tensor]:
        crop_samples, members = self.plan.batch(update)
        generator = np.random.default_rng([self.seed, 1, update])
        frames = num_frames(crop_samples)
        audio = np.empty((len(members), crop_samples), dtype=np.float32)
        labels = np.empty((len(members), frames), dtype=np.int64)
        for row, index in enumerate(members):
            slack = len(self.labels[index]) - frames
            first = int(generator.integers(0, slack + 1))
            start = first * FRAME_SHIFT
            audio[row] = self.waveforms[index][start : start + crop_samples]
            labels[row] = self.labels[index][first : first + frames]
        audio = audio / 32768.0
        if self.do_normalize:
            audio = np.stack([normalize_waveforms(row) for row in audio])
        mask = draw_mask(len(members), frames, generator, self.mask_start, self.mask_span)
        return {
            "input_values": torch.from_numpy(audio),
            "mask_time_indices": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }


def first_item(items: list[dict[str, torch.Tensor]]) -> dict:
    """Collate by taking the one ready batch, and say how much speech it is."""
    (batch,) = items
    return batch | {"batch_info": BatchInfo(batch["input_values"].numel() / SAMPLING_RATE)}
