"""Strict loading: an encoder whose weights are missing, or are no numbers, is refused."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Iterator
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING, MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

from hf_rspin.models.attention import choose_attention
from hf_rspin.models.configuration import fields_of_heads, without_foreign_code
from hf_rspin.models.encoder import family_of

logger = logging.getLogger(__name__)

HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder",
               "proxies")  # fmt: skip


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from listing weights that are meant to be fresh; ours are checked."""
    log = logging.getLogger("transformers.modeling_utils")

    def is_no_report(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    log.addFilter(is_no_report)
    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"a file of weights is damaged ({error}): download or copy the model again."
        ) from error
    finally:
        log.removeFilter(is_no_report)


def check_weights(
    model: PreTrainedModel,
    report: dict[str, Any],
    name: str | os.PathLike,
    heads: tuple[str, ...] = (),
    anew: bool = False,
) -> list[str]:
    """Refuse a model whose encoder is not whole; return the weights of heads that begin anew.

    Args:
        model: as loaded, on a device.
        report: what `from_pretrained(..., output_loading_info=True)` says of it.
        name: of the folder, for the message.
        heads: how the names of weights begin that may be missing.
        anew: heads of another size than the config's begin anew.

    Raises:
        ValueError: weights are missing, of another size, NaN or infinite.
    """
    resized = sorted(key for key, *_ in report["mismatched_keys"])
    fresh = {*report["missing_keys"], *resized}
    # a folder has no embedding of masked frames where it masks none
    lacking = sorted(
        key for key in fresh if not key.startswith(heads) and not key.endswith("masked_spec_embed")
    )
    if lacking:
        raise ValueError(
            f"{name} is no whole encoder: {len(lacking)} weights are missing or of another size, "
            f"such as {lacking[0]}; expected every weight of its config: download or convert the "
            "model again."
        )
    if resized and not anew:
        raise ValueError(
            f"the heads in {name} have other sizes than asked for, such as {resized[0]}; expected "
            "those of its config: leave the sizes out, or begin them anew with "
            "ignore_mismatched_sizes=True."
        )
    broken = [key for key, value in model.state_dict().items()
              if value.is_floating_point() and value.device.type != "meta"
              and not torch.isfinite(value).all()]  # fmt: skip
    if broken:
        raise ValueError(
            f"{name} holds NaN or infinite weights, such as {broken[0]}; expected finite numbers: "
            "download the model again, or take an earlier checkpoint."
        )
    return sorted(key for key in fresh if key.startswith(heads)) if heads else []


def _tell_of_foreign(
    model: PreTrainedModel, unexpected: Collection[str], name: str | os.PathLike
) -> None:
    """Warn of weights inside the encoder that it has no place for; heads are beside it."""
    parts = {part for part, _ in model.named_children()}
    own = {key.removeprefix(f"{model.base_model_prefix}.") for key in unexpected}
    foreign = sorted(key for key in own if key.split(".")[0] in parts)
    if foreign:
        logger.warning(
            "%s holds %d weights that its encoder has no place for, such as %s: they are left out; "
            "its config may be that of another model.",
            name, len(foreign), ", ".join(foreign[:3]),
        )  # fmt: skip


def plain_config(content: dict[str, Any]) -> PreTrainedConfig:
    """Return the config of a plain encoder: without head fields, `auto_map` and architectures.

    Args:
        content: of the config of an encoder with or without heads.

    Raises:
        ValueError: a type of encoder that is not known.
    """
    content = without_foreign_code(content)
    family_of(content.get("model_type"))  # refuses one that is not known
    config_class = CONFIG_MAPPING[content["model_type"]]
    own = config_class.__dataclass_fields__
    foreign = {*fields_of_heads(), "apply_spec_augment"} - {*own}
    for name in [*foreign, "auto_map", "architectures"]:
        content.pop(name, None)
    return config_class.from_dict(content)


def load_encoder(
    name: str | os.PathLike, dtype: torch.dtype | str = torch.float32, **options: Any
) -> PreTrainedModel:
    """Load a plain encoder, in eval mode, from a folder or Hub id with or without heads.

    Nothing that the folder holds is run. WavLM gets an attention equal to the stock one that is
    faster and that LoRA can adapt. Weights inside the encoder that its config has no place for are
    left out, with a warning.

    Args:
        name: folder or Hub id of an encoder of `encoder.FAMILIES`.
        dtype: of the weights; "auto" for that of the file.
        **options: `revision`, `token`, `cache_dir` and the like of `from_pretrained`.

    Example:
        >>> encoder = load_encoder(encoder_folder())  # or "microsoft/wavlm-base"

    Raises:
        OSError: there is no such folder or repository.
        ValueError: another kind of model, or weights that are missing, damaged, NaN or infinite.
    """
    content, _ = PreTrainedConfig.get_config_dict(name, **options)
    config = plain_config(content)
    with quiet_loading():
        model, report = MODEL_MAPPING[type(config)].from_pretrained(
            name, config=config, dtype=dtype, output_loading_info=True,
            ignore_mismatched_sizes=True, **options,
        )  # fmt: skip
    check_weights(model, report, name)
    _tell_of_foreign(model, report["unexpected_keys"], name)
    return choose_attention(model).eval()
