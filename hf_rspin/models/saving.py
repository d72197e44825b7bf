"""A saved model is complete: weights, clean config, feature extractor, code, pieces and card."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

from transformers import HubertConfig, PreTrainedConfig, WavLMConfig

from .card_file import EXTRACTOR, write_card
from .configuration_laser import LaserHubertConfig, LaserWavLMConfig
from .configuration_rspin import RSpinHubertConfig, RSpinWavLMConfig
from .front_end import default_feature_extractor
from .model_card import CardFacts
from .uploading import upload


def _names(config_class: type[PreTrainedConfig]) -> set[str]:
    return {field.name for field in fields(config_class)}


# fields of all heads, whichever model has them
HEAD_FIELDS = frozenset(
    (_names(RSpinHubertConfig) | _names(LaserHubertConfig)) - _names(HubertConfig)
    | (_names(RSpinWavLMConfig) | _names(LaserWavLMConfig)) - _names(WavLMConfig)
)


class Saves(Protocol):
    """What can write itself into a folder, such as `hf_rspin.AcousticPieces`."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write into `folder`."""


class SavingMixin:
    """`save_pretrained` and `push_to_hub` of models with heads.

    Beside weights and config they write the code that `trust_remote_code=True` runs (these files),
    a feature extractor, and what the attributes hold.

    Attributes:
        acoustic_pieces: saved too: what the labels of the auxiliary head stand for.
        card_facts: what the model card says beside the config.
    """

    _auto_class = "AutoModel"  # transformers then saves the code, and `auto_map` in the config

    acoustic_pieces: Saves | None = None
    card_facts: CardFacts | None = None

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save everything that belongs to the model.

        Arguments are those of `PreTrainedModel.save_pretrained`. A feature extractor that the user
        put into the folder, and a README.md that a person wrote or edited, stay as they are.
        """
        upload_options = {name: kwargs.pop(name) for name in _UPLOAD_OPTIONS if name in kwargs}
        keeps_extractor = has_own_extractor(save_directory)
        with _clean(self.config):
            super().save_pretrained(save_directory, is_main_process, **kwargs)
        if not is_main_process or os.path.isfile(save_directory):
            return
        if not keeps_extractor:
            default_feature_extractor(self.config).save_pretrained(save_directory)
        save_companions(save_directory, self.config, self.acoustic_pieces, self.card_facts)
        if push_to_hub:
            upload_options.setdefault("repo_id", Path(save_directory).name)
            upload(save_directory, **upload_options)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload model",
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "50GB",
        tags: list[str] | None = None,
    ) -> str:
        """Save the model and upload it in one commit; return the address of the commit.

        Arguments are those of `PreTrainedModel.push_to_hub`.

        Raises:
            UploadError: the Hub cannot be reached, or refuses; see `upload`.
        """
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / repo_id.split("/")[-1]  # the card's title is that of its folder
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            if tags:
                facts = self.card_facts or CardFacts()
                write_card(folder, self.config, replace(facts, tags=[*facts.tags, *tags]))
            return upload(
                folder,
                repo_id,
                private=private,
                token=token,
                commit_message=commit_message,
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
            )


_UPLOAD_OPTIONS = ("repo_id", "commit_message", "private", "token", "revision", "create_pr")


def save_companions(
    folder: str | Path,
    config: PreTrainedConfig,
    acoustic_pieces: Saves | None = None,
    facts: CardFacts | None = None,
) -> None:
    """Write acoustic pieces, where there are any, and the model card into a saved model's folder.

    Args:
        folder: of the saved model.
        config: of the model.
        acoustic_pieces: of its pseudo-labels.
        facts: what the card says beside the config.
    """
    if acoustic_pieces is not None:
        acoustic_pieces.save_pretrained(folder)
    write_card(folder, config, facts)


def has_own_extractor(folder: str | Path) -> bool:
    """Say whether a folder holds a feature extractor that a model saved there must not replace.

    One that equals the default of the model beside it was written with that model, and goes with
    it: left beside a model with another front end it would normalise waveforms wrongly.
    """
    folder = Path(folder)
    processor = _read(folder / "processor_config.json")
    if "feature_extractor" in processor:
        return True
    if not (folder / EXTRACTOR).is_file():
        return False
    config = _read(folder / "config.json")
    if "feat_extract_norm" not in config:
        return True
    before = default_feature_extractor(PreTrainedConfig.from_dict(config))
    return _read(folder / EXTRACTOR) != json.loads(before.to_json_string())


def _read(path: Path) -> Mapping[str, Any]:
    """Return the content of a JSON file; nothing where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def _clean(config: PreTrainedConfig) -> Iterator[None]:
    """Keep out of a config, while it is saved, what belongs to another folder.

    That is the `auto_map` that it was loaded with, and the fields of another model's heads. The
    `auto_map` that saving writes into it does not outlive the saving: a plain encoder that is made
    of the same config would announce code that it does not bring.
    """
    foreign = HEAD_FIELDS - _names(type(config))
    for name in {*foreign, "auto_map"} & vars(config).keys():
        delattr(config, name)
    try:
        yield
    finally:
        vars(config).pop("auto_map", None)
