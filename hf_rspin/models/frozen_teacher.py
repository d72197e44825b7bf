"""A frozen copy of the encoder beside it: moves with the model, never trained, never saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from .frozen_layers import FrozenLayersMixin


class FrozenTeacherMixin(FrozenLayersMixin):
    """Keeps a teacher, the encoder as it was when `make_teacher` was called, in eval mode.

    SCORE's authors leave the dropout of their teacher on; ours is deterministic. What is frozen in
    the encoder is the same for both and is shared, so that a teacher of two trainable layers
    costs two layers of memory. The teacher is not part of the state dict: a run that is resumed
    makes it again from the encoder that it started from.
    """

    # in a tuple, which hides it from `parameters()`, `state_dict()`, `train()` and DDP
    _teacher: tuple[PreTrainedModel, ...] = ()
    _teacher_shares: int | None = None

    def make_teacher(self) -> None:
        """Copy the encoder as it is now; call it after freezing and before training."""
        shared = {id(module): module for module in self.frozen_modules()}
        teacher = copy.deepcopy(self.base_model, shared)
        for parameter in teacher.parameters():
            parameter.requires_grad = False
        self._teacher = (teacher.eval(),)
        self._teacher_shares = self.num_frozen_layers

    @property
    def has_teacher(self) -> bool:
        """Whether `make_teacher` was called."""
        return bool(self._teacher)

    @property
    def teacher(self) -> PreTrainedModel:
        """The frozen encoder.

        Raises:
            ValueError: there is none, or other layers were frozen since it was made.
        """
        if not self._teacher:
            raise ValueError(
                "there is no teacher, which is not saved: call make_teacher() on the pretrained "
                "encoder, before it trains."
            )
        if self._teacher_shares != self.num_frozen_layers:
            raise ValueError(
                f"the teacher was made with {self._teacher_shares} frozen layers, now "
                f"{self.num_frozen_layers} are: freeze first, then call make_teacher()."
            )
        return self._teacher[0]

    def _apply(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> nn.Module:
        # the teacher changes device and type with the model
        for teacher in self._teacher:
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)
