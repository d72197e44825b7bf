"""The targets of LightHuBERT: the mean of what a teacher's last layers add, before the residual."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.distillation.teacher_cache import TeacherCache
from hf_rspin.distillation.teachers import BATCH_SECONDS, EncoderTeacher, load_teacher
from hf_rspin.models.encoder import family_of, layers_of
from hf_rspin.units.recordings import can_pad, encode_recordings, similar_batches


class MeanOfLayers:
    """An encoder in eval mode whose only feature is the mean over its last feed-forward outputs.

    In fairseq's words the "layer results" (LightHuBERT, arXiv 2203.15610; data2vec):
    what the feed-forward block of a layer gives, before the residual is added and normalised. A
    `distillation.Teacher` with the single layer 0.

    Args:
        teacher: in eval mode.
        count: of its last layers to average; 0: 8 of twelve or more, half of fewer.

    Raises:
        ValueError: it has fewer layers, or layers of another kind.
    """

    num_layers = 1

    def __init__(self, teacher: EncoderTeacher, count: int = 0):
        layers = layers_of(teacher.model)
        if not all(isinstance(getattr(one, "feed_forward", None), nn.Module) for one in layers) or (
            family_of(teacher.model.config).blocks
        ):
            raise ValueError(
                f"the teacher is a {teacher.model.config.model_type!r} model, whose layers have no "
                "single feed-forward block at one frame rate; expected HuBERT, WavLM, wav2vec 2.0 "
                "or a relative."
            )
        count = count or (8 if len(layers) >= 12 else (len(layers) + 1) // 2)
        if count > len(layers):
            raise ValueError(
                f"average_layers is {count}, but the teacher has {len(layers)} layers; expected at "
                "most as many."
            )
        self.teacher, self.count, self.dim = teacher, count, teacher.dim
        self.provenance = {**teacher.provenance, "mean_of_last_feed_forward_outputs": count}

    def features(self, waveforms: Sequence[np.ndarray], layers: Sequence[int]) -> list[Tensor]:
        """Return (frames, 1, dim) float32 of each waveform (samples,), as if it were alone."""
        model = self.teacher.model

        def encode(values: Tensor, mask: Tensor | None) -> Tensor:
            with added_by_layers(model, self.count) as added:
                model(values, attention_mask=mask)
            return torch.stack([one.float() for one in added]).mean(dim=0)[:, :, None]

        found: dict[int, Tensor] = {}
        rows = dict(enumerate(waveforms))
        for batch in similar_batches(rows, BATCH_SECONDS, can_pad(model)):
            features = encode_recordings(
                model, encode, list(batch.values()), self.teacher.normalize, self.teacher.bf16
            )
            found |= dict(zip(batch, features, strict=True))
        return [found[row] for row in rows]


@contextlib.contextmanager
def added_by_layers(model: PreTrainedModel, count: int) -> Iterator[list[Tensor]]:
    """Give the list that a forward inside fills: (batch, frames, dim) of each of the last layers.

    Args:
        model: with layers that have a `feed_forward` block.
        count: number of last layers.
    """
    added: list[Tensor] = []
    hooks = [
        layer.feed_forward.register_forward_hook(lambda module, given, out: added.append(out))
        for layer in list(layers_of(model))[-count:]
    ]
    try:
        yield added
    finally:
        for hook in hooks:
            hook.remove()


def load_mean_of_layers(
    name: str | Path, count: int = 0, bf16: bool | None = None, device: str = "cpu"
) -> MeanOfLayers:
    """Load the teacher of an elastic encoder from a folder or Hub id.

    Raises:
        ValueError: no such encoder, Whisper, or see `MeanOfLayers`.
    """
    teacher = load_teacher(name, bf16, device)
    if not isinstance(teacher, EncoderTeacher):
        raise ValueError(
            f"teacher {name} is Whisper's encoder, which reads spectrograms; expected HuBERT, "
            "WavLM or a relative."
        )
    return MeanOfLayers(teacher, count)


class RawTeacherCache(TeacherCache):
    """A `TeacherCache` whose features come as the teacher gave them, not standardised."""

    def features(self, utterance: int, first: int, count: int) -> Tensor:
        """Return `count` frames from `first` on: (layers, count, dim) float32."""
        return super().features(utterance, first, count) * self.deviation + self.mean
