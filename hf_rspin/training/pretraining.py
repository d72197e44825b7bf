"""HuBERT pre-training from scratch: predict the cluster of masked frames (arXiv 2106.07447).

transformers has the encoder but no pre-training objective. One training item is one whole batch,
a function of (seed, update) alone, so a run that was killed goes on exactly where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import HubertConfig, HubertModel, HubertPreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE, num_frames
from hf_rspin.data import SkippedFiles
from hf_rspin.data.collator import BatchInfo
from hf_rspin.losses.masked_prediction import masked_prediction_loss
from hf_rspin.training.crop_plan import CropPlan


@dataclass
class MaskedPredictionOutput(ModelOutput):
    """Loss and accuracy over the masked frames."""

    loss: torch.Tensor | None = None
    masked_accuracy: torch.Tensor | None = None


class HubertForMaskedPrediction(HubertPreTrainedModel):
    """HuBERT with the pre-training head: cosine to one embedding per cluster, divided by 0.1.

    Args:
        config: an encoder config; `apply_spec_augment` must be true (it switches masking on), and
            `num_clusters`, `final_dim` and `unmasked_weight` are read from it. The last is the
            weight of the same loss at frames that are not masked: 0 in the published recipe,
            while a run of few updates leaves its first plateau much sooner with it.
    """

    def __init__(self, config: HubertConfig):
        super().__init__(config)
        self.hubert = HubertModel(config)
        self.final_proj = nn.Linear(config.hidden_size, config.final_dim)
        self.label_embeddings = nn.Embedding(config.num_clusters, config.final_dim)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Embedding):
            # Only directions matter; short vectors turn faster under Adam.
            init.normal_(module.weight, std=0.05)

    def forward(
        self, input_values: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
    ) -> MaskedPredictionOutput:
        """Return the loss over masked frames, plus the weighted one over the others.

        Args:
            input_values: (batch, samples) at 16 kHz, no padding.
            mask: (batch, frames) bool, true where the frame is hidden from the encoder.
            labels: (batch, frames) cluster of each frame.
        """
        hidden = self.hubert(input_values, mask_time_indices=mask).last_hidden_state
        loss, accuracy = self._predict(hidden[mask], labels[mask])
        if self.config.unmasked_weight > 0:
            unmasked_loss, _ = self._predict(hidden[~mask], labels[~mask])
            loss = loss + self.config.unmasked_weight * unmasked_loss
        return MaskedPredictionOutput(loss=loss, masked_accuracy=accuracy)

    def _predict(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return cross-entropy and accuracy of frames (frames, hidden)."""
        predicted = self.final_proj(hidden)  # (frames, final_dim)
        found = masked_prediction_loss(predicted, self.label_embeddings.weight, targets)
        return found.loss, found.accuracy


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
        return {
            "input_values": torch.from_numpy(audio / 32768.0),
            "mask": torch.from_numpy(
                draw_mask(len(members), frames, generator, self.mask_start, self.mask_span)
            ),
            "labels": torch.from_numpy(labels),
        }


def first_item(items: list[dict[str, torch.Tensor]]) -> dict:
    """Collate by taking the one ready batch, and say how much speech it is."""
    (batch,) = items
    return batch | {"batch_info": BatchInfo(batch["input_values"].numel() / SAMPLING_RATE)}
