"""Strict loading: an encoder whose weights are missing, or are no numbers, is refused."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

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
) -> list[str]:
    """Refuse a model whose encoder is not whole; return the weights of heads that begin anew.

    Args:
        model: as loaded, on a device.
        report: what `from_pretrained(..., output_loading_info=True)` says of it.
        name: of the folder, for the message.
        heads: how the names of weights begin that may be missing.

    Raises:
        ValueError: weights are missing, of another size, NaN or infinite.
    """
    fresh = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
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
    broken = [key for key, value in model.state_dict().items()
              if value.is_floating_point() and value.device.type != "meta"
              and not torch.isfinite(value).all()]  # fmt: skip
    if broken:
        raise ValueError(
            f"{name} holds NaN or infinite weights, such as {broken[0]}; expected finite numbers: "
            "download the model again, or take an earlier checkpoint."
        )
    return sorted(key for key in fresh if key.startswith(heads)) if heads else []
