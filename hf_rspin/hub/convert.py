"""Checkpoints of Spin, R-Spin, fairseq, WavLM and s3prl become folders of transformers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

from hf_rspin.hub.mr_hubert_names import is_mr_hubert
from hf_rspin.hub.mr_hubert_settings import read_mr_hubert
from hf_rspin.hub.official_content import find_state_dict, is_distilled
from hf_rspin.hub.official_names import Names, find_names, shown
from hf_rspin.hub.official_settings import Settings
from hf_rspin.hub.official_sizes import OfficialConfig, make_config
from hf_rspin.hub.stored_tensors import BUILDERS, STORAGE_CLASSES, StoredTensor
from hf_rspin.hub.torch_files import TorchFile, open_torch_file
from hf_rspin.inert_pickle import CheckpointError
from hf_rspin.models import RSpinModel
from hf_rspin.models.encoder import default_feature_extractor, reads_normalized
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import load_encoder
from hf_rspin.publishing.card_file import write_card
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.whole_folders import check_new_folder, whole_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """What was made of a checkpoint.

    Attributes:
        folder: with weights, config and feature extractor.
        model: what was saved there, in eval mode.
        official: its config and where it comes from.
        left_out: weights that only pre-training needs, by name in the checkpoint.
        unknown: weights that have no place in the model, by name in the checkpoint.
        inert: classes and functions that the checkpoint names and that were not imported.
    """

    folder: Path
    model: PreTrainedModel
    official: OfficialConfig
    left_out: list[str]
    unknown: list[str]
    inert: list[str]

    def summary(self) -> str:
        """Describe the model, the guesses behind it, what was left out, and how to load it."""
        config, sources = self.model.config, self.official.sources
        name, package = type(self.model).__name__, type(self.model).__module__.split(".")[0]
        lines = [
            f"{name}, {self.model.num_parameters() / 1e6:.1f}M parameters, in {self.folder}",
            f"  transformer: {config.num_hidden_layers} layers of {config.hidden_size}, "
            f"feed-forward {config.intermediate_size}, "
            f"{'pre' if getattr(config, 'do_stable_layer_norm', False) else 'post'}-norm "
            f"({sources['do_stable_layer_norm']})",
            f"  heads: {config.num_attention_heads} ({sources['num_attention_heads']})",
            f"  convolutions: {_conv_norm(config)} norm, kernels {config.conv_kernel}, "
            f"strides {config.conv_stride} ({sources['conv_stride']})",
            f"  waveforms: do_normalize {self.official.do_normalize} ({sources['do_normalize']})",
        ]
        if "resolution_strides" in sources:
            lines.append(
                f"  blocks: {shown(config.block_layers, most=99)} layers at 50 Hz / "
                f"{shown(config.block_strides, most=99)} ({sources['resolution_strides']})"
            )
        if hasattr(self.model, "spin_head"):
            layer = "the last layer" if config.spin_layer == -1 else f"layer {config.spin_layer}"
            lines.append(
                f"  codebook: {config.codebook_size} codes of {config.projection_size}, on {layer}"
            )
        if self.left_out:
            lines.append(f"  left out, of use in pre-training only: {shown(self.left_out)}")
        if self.inert:
            lines.append(f"  named in the file, neither imported nor run: {shown(self.inert)}")
        lines += [
            "Load it with", f"    from {package} import {name}",
            f"    model = {name}.from_pretrained({str(self.folder)!r})",
        ]  # fmt: skip
        return "\n".join(lines)


def convert_checkpoint(
    source: str | Path,
    folder: str | Path,
    config: str | Path | None = None,
    num_attention_heads: int | None = None,
    base: str | Path | None = None,
) -> Conversion:
    """Turn a checkpoint into a folder that `from_pretrained` loads; runs nothing in the checkpoint.

    With a projection and a codebook (Spin, R-Spin) it becomes an `RSpinModel`, without them a plain
    encoder, in float32: HuBERT, HuBERT-MGR and ContentVec of fairseq and DistilHuBERT of s3prl a
    `HubertModel`, data2vec and Robust data2vec a `Data2VecAudioModel` (of the student, not of its
    moving average), WavLM a `WavLMModel`, MR-HuBERT of fairseq an `MRHubertModel` without its heads
    of pre-training. The folder appears whole or not at all.

    Args:
        source: file of `torch.save`.
        folder: to make; may exist if it is empty.
        config: config.json for what tensors do not tell (heads, strides, pre-norm, ...).
        num_attention_heads: of each layer, likewise; HuBERT's tensors do not tell it, and by
            default it is hidden size / 64.
        base: folder or Hub id of the encoder that the checkpoint was trained on from. Files are
            passed around as ContentVec that are HuBERT base: one that equals `base` is refused.

    Example:
            convert_checkpoint("HuBERT_base_robust_mgr_best_loss_2.7821.pt", "runs/hubert_mgr")

    Raises:
        CheckpointError: the file is damaged, incomplete or no such checkpoint, or equals `base`;
            says which weights are missing.
        ValueError: `folder` holds something, config and heads do not fit, or there is no `base`.
        OSError: a file cannot be read or written.
    """
    source, folder = Path(source), Path(folder).resolve()
    _check_paths(source, folder)
    try:
        with open_torch_file(source) as file:
            stored = find_state_dict(file.content)
            if is_mr_hubert(stored):
                names, official = read_mr_hubert(
                    file.content, stored, config, num_attention_heads
                )  # fmt: skip
            else:
                names = find_names(stored, is_distilled(file.content))
                settings = Settings.gather(file.content, config, num_attention_heads)
                official = make_config(stored, names, settings)
            weights = _read_weights(file, stored, names)
    except CheckpointError as error:
        raise CheckpointError(f"{source} cannot be converted: {error}") from error
    model = _build(official, weights, names, source)
    if base is not None:
        _check_differs(model, base, source)
    _warn(names, official, model, source)
    with whole_folder(folder, "config.json", "model") as temporary:
        model.save_pretrained(temporary)
        extractor = default_feature_extractor(official.config)
        extractor.do_normalize = official.do_normalize
        extractor.save_pretrained(temporary)
        origin = f"Converted from {source.name}; what it was trained on is not recorded."
        facts = ModelCardInfo(name=folder.name, method=names.method, training_data=origin)
        write_card(temporary, model.config, facts)
    inert = [name for name in file.names if name not in {**BUILDERS, **STORAGE_CLASSES}]
    return Conversion(folder, model, official, names.left_out, names.unknown, inert)


def _conv_norm(config: PreTrainedConfig) -> str:
    return getattr(config, "feat_extract_norm", "layer")  # of data2vec all have


def _check_paths(source: Path, folder: Path) -> None:
    if not source.is_file():
        raise ValueError(f"{source} is no file; expected a checkpoint, .ckpt or .pt.")
    check_new_folder(folder, "the converted model")


def _read_weights(
    file: TorchFile, stored: Mapping[str, StoredTensor], names: Names
) -> dict[str, Tensor]:
    """Return float32 weights by name in the encoder or the model; each has its own memory.

    Raises:
        CheckpointError: they are damaged, no floating-point numbers, or not finite.
    """
    wanted = {**names.encoder, **names.heads}
    empty = [name for name in wanted if 0 in stored[name].shape]
    if empty:
        raise CheckpointError(f"{len(empty)} of its weights are empty: {shown(empty)}.")
    # stored weights do not overlap: a file whose weights do could grow without bounds
    if sum(stored[name].size for name in wanted) > file.file_size:
        raise CheckpointError("its weights claim more bytes than the file has.")
    weights = {}
    for name, ours in wanted.items():
        try:
            tensor = file.read(stored[name])
        except CheckpointError as error:
            raise CheckpointError(f"{shown([name])} cannot be read: {error}") from error
        if not tensor.is_floating_point():
            raise CheckpointError(f"{shown([name])} is {tensor.dtype}; expected floating point.")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{shown([name])} holds NaN or infinite numbers.")
        weights[ours] = tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return weights


def _build(
    official: OfficialConfig, weights: dict[str, Tensor], names: Names, source: Path
) -> PreTrainedModel:
    """Return the model with its weights.

    Raises:
        CheckpointError: a weight has another shape than the others ask for; names it.
    """
    has_heads = bool(names.heads)
    model_class = RSpinModel if has_heads else MODEL_MAPPING[type(official.config)]
    try:
        with torch.device("meta"):
            model = model_class(official.config)
    except RuntimeError as error:  # sizes beyond what torch can count
        raise CheckpointError(f"{source} has weights that no encoder has: {error}") from error
    if has_heads:
        inside = set(names.encoder.values())
        prefix = f"{model.base_model_prefix}."
        weights = {prefix + n if n in inside else n: value for n, value in weights.items()}
    for name, value in model.state_dict().items():
        if name in weights and value.shape != weights[name].shape:
            raise CheckpointError(
                f"{source} cannot be converted: {name} has shape {tuple(weights[name].shape)}; "
                f"expected {tuple(value.shape)}."
            )
    model.load_state_dict(weights, assign=True)
    return model.eval()


def _check_differs(model: PreTrainedModel, base: str | Path, source: Path) -> None:
    """Refuse a model whose encoder is another one, up to the rounding of half precision.

    Raises:
        CheckpointError: they are equal.
    """
    theirs = load_encoder(resolve_encoder(base)).state_dict()
    ours = model.base_model.state_dict()
    if all(
        ours[name].shape == theirs[name].shape
        and torch.allclose(ours[name], theirs[name], rtol=2**-10, atol=1e-7)
        for name in ours.keys() & theirs.keys()
    ):
        raise CheckpointError(
            f"{source} has the weights of {base} itself: download the file from its authors."
        )


def _warn(names: Names, official: OfficialConfig, model: PreTrainedModel, source: Path) -> None:
    if names.unknown:
        logger.warning(
            "%s has %d weights that have no place in a %s and are left out: %s.",
            source, len(names.unknown), type(model).__name__, shown(names.unknown),
        )  # fmt: skip
    if official.do_normalize != reads_normalized(official.config):
        logger.warning(
            "The preprocessor says do_normalize %s (%s), which is unusual with %s norm in front.",
            official.do_normalize, official.sources["do_normalize"],
            _conv_norm(official.config),
        )  # fmt: skip
    if names.heads:
        off = (model.spin_head.codebook.weight.norm(dim=1) - 1).abs().max().item()
        if off > 0.01:
            logger.warning(
                "Rows of the codebook have norms up to %.3f off 1; we use them at norm 1, so that "
                "some codes may differ from the authors'.", off,
            )  # fmt: skip
