"""`from_pretrained` of models with heads: from a folder with heads, or of a plain encoder."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig


class LoadingMixin:
    """Loads a folder with heads, or a plain encoder's, which gets fresh heads."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a folder with heads, or a plain encoder's, which gets fresh heads.

        Arguments and result are those of `PreTrainedModel.from_pretrained`, but for the dtype,
        float32 where none is given, however the folder is stored: half-precision weights lose
        small updates, and refuse float32 audio outside autocast. Fields of the config can be
        given as keyword arguments; a plain encoder's config, which AutoModel hands over, is read
        as one of ours.
        """
        config = kwargs.get("config")
        if isinstance(config, PreTrainedConfig) and not isinstance(config, cls.config_class):
            kwargs["config"] = cls.config_class.from_dict(config.to_dict())
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.release_unused_parameters()  # loading makes every parameter trainable
        return loaded

    def release_unused_parameters(self) -> None:
        """Ask no gradient of what takes no part in the loss, which DDP would wait for."""
        self.release_unused_encoder()
