"""Batches of distillation: crops of one length with what their teachers make of them.

Item i is the whole batch of update i, a function of (seed, i) alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_rspin.audio import (
    FRAME_SHIFT,
    SAMPLING_RATE,
    normalize_waveforms,
    num_frames,
    num_samples,
)
from hf_rspin.data.dataset import num_labels_of
from hf_rspin.data.skipped import SkippedFiles
from hf_rspin.distillation.input_noise import InputNoise
from hf_rspin.distillation.teacher_cache import TeacherCache
from hf_rspin.seeding import example_generator
from hf_rspin.training.crop_plan import CropPlan
from hf_rspin.training.pretraining import draw_mask
from hf_rspin.units import FrameLabels

CROPS, NOISE = 1, 2  # which of an update's draws


class DistillationBatches(Dataset):
    """The batches of a run: `input_values`, `targets`, and `labels` and a mask where asked for.

    Args:
        caches: of every teacher, of the same utterances.
        num_updates: length of the data set, over all ranks and micro-batches.
        batch_seconds: audio per batch in seconds.
        crop_seconds: longest crop in seconds.
        seed: of crops, masks and noise.
        labels: units by utterance id, or None.
        mask_start: share of the frames that open a mask; 0: nothing is masked.
        mask_span: frames that one mask covers.
        noise: what is added to the student's input alone; None: it hears what its teachers heard.
        do_normalize: feed waveforms of mean 0 and variance 1.

    Raises:
        ValueError: the caches are of other utterances, or labels are missing or do not fit.
    """

    def __init__(
        self,
        caches: Sequence[TeacherCache],
        num_updates: int,
        batch_seconds: float = 72.0,
        crop_seconds: float = 3.0,
        seed: int = 0,
        labels: FrameLabels | None = None,
        mask_start: float = 0.0,
        mask_span: int = 10,
        noise: InputNoise | None = None,
        do_normalize: bool = False,
    ):
        first = caches[0]
        for cache in caches[1:]:
            if cache.ids != first.ids or not np.array_equal(cache.frames, first.frames):
                raise ValueError(
                    f"the features in {cache.folder} and {first.folder} are of other utterances: "
                    "remove the folders and compute them anew."
                )
        self.caches, self.num_updates, self.labels = list(caches), num_updates, labels
        self.mask_start, self.mask_span = mask_start, mask_span
        self.noise, self.do_normalize, self.seed = noise, do_normalize, seed
        samples = np.array([num_samples(count) for count in first.frames])
        self.full_durations = samples / SAMPLING_RATE  # seconds
        self.durations = np.minimum(self.full_durations, crop_seconds)
        self.skipped = SkippedFiles()
        # audio up to a frame longer has as many frames: 1.25 s make a crop of 1.25 s
        longest = (samples + FRAME_SHIFT - 1) / SAMPLING_RATE
        self.plan = CropPlan(longest, batch_seconds, crop_seconds, seed)
        if labels is not None:
            self._check_labels(labels)

    def __len__(self) -> int:
        return self.num_updates

    def __getitem__(self, update: int) -> dict:
        """Return the batch of an update; `targets` is a list, one tensor per teacher."""
        samples, members = self.plan.batch(update)
        generator = np.random.default_rng([self.seed, CROPS, update])
        frames = num_frames(samples)
        firsts = [int(generator.integers(0, self.caches[0].frames[index] - frames + 1))
                  for index in members]  # fmt: skip
        places = list(zip(members, firsts, strict=True))
        audio = np.stack([self.caches[0].audio(i, first, samples) for i, first in places])
        batch = {}
        if self.caches[0].layers:
            batch["targets"] = [
                torch.stack([cache.features(i, first, frames) for i, first in places])
                for cache in self.caches
            ]
        if self.labels is not None:
            rows = [self.labels[self.caches[0].ids[i]][first : first + frames]
                    for i, first in places]  # fmt: skip
            batch["labels"] = torch.from_numpy(np.stack(rows).astype(np.int64))
        if self.mask_start > 0:
            mask = draw_mask(len(members), frames, generator, self.mask_start, self.mask_span)
            batch["mask_time_indices"] = torch.from_numpy(mask)
        if self.noise is not None:
            clean = audio.copy()
            for row, member in enumerate(members):
                draws = example_generator(self.seed, update, row, NOISE)
                other = clean[row - 1] if members[row - 1] != member else None
                audio[row] = self.noise(clean[row], draws, other)
        if self.do_normalize:
            audio = np.stack([normalize_waveforms(row) for row in audio])
        return batch | {"input_values": torch.from_numpy(audio)}

    def _check_labels(self, labels: FrameLabels) -> None:
        for name, count in zip(self.caches[0].ids, self.caches[0].frames, strict=True):
            found = num_labels_of(labels, name) if name in labels else None
            if found != count:
                raise ValueError(
                    f"utterance {name} has {count} frames and {found or 'no'} labels: make the "
                    "units again from the same corpora."
                )
