"""The base of models with heads: any plain encoder inside, loading, freezing and saving.

The encoder is kept under the name that its own `transformers` class uses, so that a saved folder
also loads as a plain encoder, or with a CTC head, without any of this code.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.models.configuration import HeadFields, config_class, fields_of_heads
from hf_rspin.models.encoder import (
    build_encoder,
    default_feature_extractor,
    layers_of,
    lower_modules,
    norm_is_last,
    norm_of,
    upper_modules,
)
from hf_rspin.models.loading import HUB_OPTIONS, check_weights, quiet_loading
from hf_rspin.models.own_types import model_class_of, own_code

EXTRACTOR = "preprocessor_config.json"
UPLOAD_OPTIONS = ("repo_id", "commit_message", "private", "token", "revision", "create_pr")
# what transformers asks of a class; here it depends on the encoder inside
_OF_ENCODER = (
    "base_model_prefix", "_supports_sdpa", "_supports_flash_attn", "_supports_flex_attn",
    "_no_split_modules", "supports_gradient_checkpointing",
)  # fmt: skip


class EncoderWithHeads(PreTrainedModel):
    """A plain encoder and the heads of an objective; subclasses add heads and losses.

    Attributes:
        frozen_dropout: True keeps dropout active in the frozen part while training, as the
            authors of Spin do; read by `train()`, neither part of the config nor saved.
        acoustic_pieces: saved too: what the labels of an auxiliary head stand for.
        card_info: what the model card says beside the config.
    """

    fields: ClassVar[type[HeadFields]] = HeadFields
    head_names: ClassVar[tuple[str, ...]] = ()  # how the names of the heads' weights begin
    main_input_name = "input_values"
    input_modalities = "audio"

    frozen_dropout: bool = False
    acoustic_pieces: Any = None
    card_info: Any = None
    _num_frozen_layers: int | None = None

    def __init__(self, config: PreTrainedConfig):
        config = self.with_fields(config)
        encoder_class = model_class_of(type(config))
        for name in _OF_ENCODER:
            setattr(self, name, getattr(encoder_class, name, None))
        super().__init__(config)
        config.validate()
        setattr(self, self.base_model_prefix, build_encoder(config))
        self._build_heads(config)
        self.release_unused_parameters()
        self.post_init()

    # What an objective defines

    def _build_heads(self, config: PreTrainedConfig) -> None:
        raise NotImplementedError

    def highest_layer_read(self) -> int:
        """Return the number of layers below the highest input of a loss that is on."""
        return self.config.num_hidden_layers

    # Loading

    @classmethod
    def with_fields(cls, config: PreTrainedConfig | dict, **changes: Any) -> PreTrainedConfig:
        """Return a config with the fields of the objective, for the config of any encoder.

        Args:
            config: of a plain encoder or of a model with heads; its content as a dictionary also.
            **changes: fields to change.

        Raises:
            ValueError: a type of encoder that is not known, or that this class does not take.
        """
        if isinstance(config, cls.fields) and not changes:
            return config
        content = config if isinstance(config, dict) else config.to_dict()
        wanted = cls.config_class
        if wanted is None or not issubclass(wanted, cls.fields):  # see `publishing.code`
            wanted = config_class(cls.fields, content.get("model_type"))
        return wanted.from_dict(content, **changes)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *args: Any,
        config: PreTrainedConfig | str | os.PathLike | None = None,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a folder with heads, or a plain encoder's, which gets fresh heads.

        Arguments and result are those of `PreTrainedModel.from_pretrained`, but for the dtype,
        float32 where none is given, however the folder is stored: half-precision weights lose
        small updates, and refuse float32 audio outside autocast. Fields of the config can be
        given as keyword arguments.

        Example:
            >>> model = RSpinModel.from_pretrained("facebook/hubert-base-ls960", codebook_size=32)

        Raises:
            ValueError: a type of encoder that is not known, a field out of range, or a folder that
                lacks weights of the encoder.
        """
        name = pretrained_model_name_or_path
        if not isinstance(config, PreTrainedConfig):
            options = {key: kwargs[key] for key in HUB_OPTIONS if key in kwargs}
            config, _ = PreTrainedConfig.get_config_dict(config or name, **options)
        content = config if isinstance(config, dict) else config.to_dict()
        known = cls.with_fields(content).__dataclass_fields__.keys() - {"dtype"}
        changes = {key: kwargs.pop(key) for key in known & kwargs.keys()}
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        anew = kwargs.pop("ignore_mismatched_sizes", False)
        with quiet_loading():
            model, report = super().from_pretrained(
                name, *args, config=cls.with_fields(config, **changes), output_loading_info=True,
                ignore_mismatched_sizes=True, **kwargs,
            )  # fmt: skip
        fresh = check_weights(model, report, name, cls.head_names, anew)
        if fresh:
            model.config.untrained_heads = True
        model.release_unused_parameters()  # loading makes every parameter trainable
        return (model, report) if output_loading_info else model

    # Freezing

    @property
    def num_frozen_layers(self) -> int | None:
        """Number of frozen transformer layers, counted from the input; None: nothing is frozen.

        0 freezes the convolutions, the feature projection and the positional embedding only.
        Setting it also sets `requires_grad` of the frozen parameters to False, and of those that
        are frozen no longer to True. What is frozen runs in eval mode, keeps no graph, and
        gradient checkpointing recomputes nothing of it. No part of the config, and not saved.
        """
        return self._num_frozen_layers

    @num_frozen_layers.setter
    def num_frozen_layers(self, count: int | None) -> None:
        layers = len(layers_of(self.base_model))
        if count is not None and (isinstance(count, bool) or not 0 <= count <= layers):
            raise ValueError(
                f"num_frozen_layers is {count}; expected 0 to {layers}, the layers of this "
                "encoder, or None to freeze nothing."
            )
        self._set_requires_grad(True)
        self._num_frozen_layers = count
        self._set_requires_grad(False)
        self.train(self.training)

    def frozen_modules(self) -> list[nn.Module]:
        """Return the modules below the first layer that trains."""
        if self._num_frozen_layers is None:
            return []
        return lower_modules(self.base_model, self._num_frozen_layers)

    def train(self, mode: bool = True) -> nn.Module:
        """Set the training mode; frozen modules stay in eval mode, but for `frozen_dropout`."""
        super().train(mode)
        for module in self.frozen_modules():
            # in training mode the convolutions would ask for a gradient of the waveform
            if not self.frozen_dropout or module is self.base_model.feature_extractor:
                module.eval()
        return self

    def release_unused_parameters(self) -> None:
        """Ask no gradient of what takes no part in the loss, which DDP would wait for.

        That is every layer above the highest that a head reads, and the embedding of masked
        frames where no frame is masked.
        """
        layers, highest = layers_of(self.base_model), self.highest_layer_read()
        for module in upper_modules(self.base_model, highest):
            module.requires_grad_(False)
        norm = norm_of(self.base_model)
        if norm is not None and highest < len(layers) and norm_is_last(self.config):
            norm.requires_grad_(False)
        used = self.config.apply_spec_augment and self._num_frozen_layers is None
        for name, parameter in self.base_model.named_parameters(recurse=False):
            if name == "masked_spec_embed":
                parameter.requires_grad_(used)

    def _set_requires_grad(self, value: bool) -> None:
        for module in self.frozen_modules():
            module.requires_grad_(value)
        self.release_unused_parameters()

    # Saving

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save everything that belongs to the model.

        Beside weights and config that is the code which `trust_remote_code=True` runs, a feature
        extractor, acoustic pieces and a model card. Arguments are those of
        `PreTrainedModel.save_pretrained`. A feature extractor that the user put into the folder,
        and a README.md that a person wrote or edited, stay as they are.
        """
        folder, publishing = Path(save_directory), _publishing()
        upload_options = {name: kwargs.pop(name) for name in UPLOAD_OPTIONS if name in kwargs}
        if folder.is_file():
            super().save_pretrained(folder, is_main_process, **kwargs)  # says so
            return
        keeps = publishing and publishing.has_own_extractor(folder, default_feature_extractor)
        home = self._class_of_the_package() if publishing else None
        auto_map, own = own_code(self.config)
        if home is not None:
            auto_map["AutoModel"] = publishing.code_reference(home)
        with _clean(self.config, auto_map):
            super().save_pretrained(folder, is_main_process, **kwargs)
        if not is_main_process:
            return
        if not (keeps if publishing else (folder / EXTRACTOR).is_file()):
            default_feature_extractor(self.config).save_pretrained(folder)
        if publishing is None:
            return
        if home is not None or own is not None:
            publishing.save_code(home or own, folder, own)
        publishing.save_companions(folder, self.config, self.acoustic_pieces, self.card_info)
        if push_to_hub:
            upload_options.setdefault("repo_id", folder.name)
            publishing.upload(folder, **upload_options)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Save the model and upload it in one commit; return the address of the commit.

        Arguments are those of `PreTrainedModel.push_to_hub`.

        Raises:
            UploadError: the Hub cannot be reached, or refuses; see `publishing.upload`.
        """
        publishing = _publishing()
        if publishing is None:
            return super().push_to_hub(repo_id, **kwargs)
        return publishing.push_model(self, repo_id, **kwargs)

    def _class_of_the_package(self) -> type | None:
        """Return the class whose code is bundled; None for one that came as remote code.

        transformers passes the files of that one on.
        """
        if type(self)._auto_class is not None:
            return None
        return next((c for c in type(self).__mro__ if "_travels" in vars(c)), None)


def _publishing() -> ModuleType | None:
    """Return what writes code and cards; None where this file came from the Hub, without it."""
    try:
        return import_module("hf_rspin.publishing")
    except ImportError:
        return None


@contextlib.contextmanager
def _clean(config: PreTrainedConfig, auto_map: dict[str, str]) -> Iterator[None]:
    """Keep out of a config, while it is saved, what belongs to another folder.

    That is the `auto_map` that it was loaded with, and the fields of another model's heads. The
    `auto_map` that is saved does not outlive the saving: a plain encoder that is made of the same
    config would announce code that it does not bring.
    """
    foreign = fields_of_heads() - set(type(config).__dataclass_fields__)
    for name in {*foreign, "auto_map"} & vars(config).keys():
        delattr(config, name)
    if auto_map:
        config.auto_map = auto_map
    try:
        yield
    finally:
        vars(config).pop("auto_map", None)
