"""Families of speech encoders: everything that differs between them, one row each.

To add a family, add a row to `FAMILIES`; the rest of the package asks the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor
from transformers.utils import ModelOutput

from hf_rspin.models.attention import choose_attention
from hf_rspin.models.own_types import model_class_of

SAMPLING_RATE = 16_000
FRAME_SHIFT, FRAME_WINDOW = 320, 400  # samples; what labels, units and windows count in
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_FEED_FORWARD = ("intermediate_dense", "output_dense")


@dataclass(frozen=True)
class EncoderFamily:
    """How the encoders of one `model_type` are built; the defaults are those of HuBERT.

    Attributes:
        title: its name in text.
        layers: path of the list of transformer layers in the encoder.
        lower: paths of the modules that run before the layers; those that are absent are skipped.
        blocks: path of a stack with modules between its layers, which tells of them itself:
            `modules_below` and `modules_above` a layer.
        norm: path of the encoder's layer norm; None if there is none.
        norm_is_last: whether that norm comes after all layers; None: as `do_stable_layer_norm`.
        attention: names of the linear layers of attention, which LoRA adapts.
        feed_forward: names of those of the feed-forward blocks.
        normalized: whether waveforms are read at zero mean and unit variance; None: where the
            convolutions have layer norms (`feat_extract_norm`).
        splits: whether the layers can be run in two parts (see `layer_range`).
        squeezes: whether the layers see `squeeze_factor` times fewer frames than the output has.
        mixes_padding: see the function of this name.
    """

    title: str
    layers: str = "encoder.layers"
    lower: tuple[str, ...] = (
        "feature_extractor", "feature_projection", "encoder.pos_conv_embed", "encoder.dropout",
    )  # fmt: skip
    blocks: str | None = None
    norm: str | None = "encoder.layer_norm"
    norm_is_last: bool | None = None
    attention: tuple[str, ...] = _ATTENTION
    feed_forward: tuple[str, ...] = _FEED_FORWARD
    normalized: bool | None = None
    splits: bool = True
    squeezes: bool = False
    mixes_padding: bool = False


FAMILIES = {
    "hubert": EncoderFamily("HuBERT"),
    "wavlm": EncoderFamily("WavLM"),
    "wav2vec2": EncoderFamily("wav2vec 2.0"),
    "data2vec-audio": EncoderFamily(
        "data2vec", norm_is_last=False, normalized=True, mixes_padding=True
    ),
    "unispeech-sat": EncoderFamily("UniSpeech-SAT"),
    "sew": EncoderFamily(
        "SEW",
        lower=(
            "feature_extractor", "layer_norm", "feature_projection", "feature_dropout",
            "encoder.pos_conv_embed", "encoder.layer_norm", "encoder.dropout",
        ),
        norm=None,
        splits=False,
        squeezes=True,
        mixes_padding=True,
    ),
    "sew-d": EncoderFamily(
        "SEW-D",
        layers="encoder.encoder.layer",
        lower=(
            "feature_extractor", "layer_norm", "feature_projection", "feature_dropout",
            "encoder.pos_conv_embed", "encoder.encoder.rel_embeddings",
            "encoder.encoder.LayerNorm", "encoder.encoder.conv",
        ),
        norm=None,
        attention=("query_proj", "key_proj", "value_proj"),
        # `output` alone is also the name of the layer behind attention
        feed_forward=("intermediate.dense", "output.dense"),
        splits=False,
        squeezes=True,
        mixes_padding=True,
    ),
    "wav2vec2-conformer": EncoderFamily(
        "wav2vec 2.0 Conformer",
        lower=(
            "feature_extractor", "feature_projection", "encoder.pos_conv_embed",
            "encoder.embed_positions", "encoder.dropout",
        ),
        norm_is_last=True,
        attention=("linear_q", "linear_k", "linear_v", "linear_out"),
        splits=False,
        mixes_padding=True,
    ),
    "summary-mixing-hubert": EncoderFamily(
        "HuBERT with SummaryMixing",
        attention=("local_in", "local_out", "summary_in", "summary_out", "combine"),
    ),
    "mr-hubert": EncoderFamily("MR-HuBERT", blocks="encoder", norm=None, splits=False),
}  # fmt: skip


def family_of(config: PreTrainedConfig | str | None) -> EncoderFamily:
    """Return the row of an encoder's config, or of its `model_type`.

    Raises:
        ValueError: a type of encoder that is not known here.
    """
    model_type = config.model_type if isinstance(config, PreTrainedConfig) else config
    if model_type not in FAMILIES:
        raise ValueError(
            f"got a {model_type!r} model; expected an encoder of one of these types: "
            f"{', '.join(FAMILIES)}."
        )
    return FAMILIES[model_type]


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a plain encoder of the config's family, with an attention that LoRA can adapt."""
    family_of(config)  # refuses one that is not known
    return choose_attention(model_class_of(type(config))(config))


def layers_of(encoder: PreTrainedModel) -> nn.ModuleList:
    """Return the transformer layers of a plain encoder, the lowest first."""
    return encoder.get_submodule(family_of(encoder.config).layers)


def lower_modules(encoder: PreTrainedModel, num_layers: int) -> list[nn.Module]:
    """Return the modules that run before layer `num_layers`, and the layers below it."""
    family, layers = family_of(encoder.config), layers_of(encoder)
    modules = [module for path in family.lower if (module := _module(encoder, path)) is not None]
    modules += layers[:num_layers]
    if family.blocks:
        modules += encoder.get_submodule(family.blocks).modules_below(num_layers)
    if family.norm and (not norm_is_last(encoder.config) or num_layers == len(layers)):
        modules.append(encoder.get_submodule(family.norm))
    return modules


def upper_modules(encoder: PreTrainedModel, num_layers: int) -> list[nn.Module]:
    """Return the layers from `num_layers` on, and what lies between and behind them in blocks.

    None of these takes part in the state that has gone through `num_layers` layers.
    """
    blocks = family_of(encoder.config).blocks
    if blocks:
        return encoder.get_submodule(blocks).modules_above(num_layers)
    return [*layers_of(encoder)[num_layers:]]


def norm_of(encoder: PreTrainedModel) -> nn.Module | None:
    """Return the layer norm of a plain encoder, before or behind its layers; None: has none."""
    path = family_of(encoder.config).norm
    return encoder.get_submodule(path) if path else None


def norm_is_last(config: PreTrainedConfig) -> bool:
    """Return whether the encoder's layer norm comes after all layers."""
    family = family_of(config)
    if family.norm_is_last is None:
        return family.norm is not None and config.do_stable_layer_norm
    return family.norm_is_last


def _module(encoder: PreTrainedModel, path: str) -> nn.Module | None:
    found: Any = encoder
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


# What an encoder reads


def reads_normalized(config: PreTrainedConfig) -> bool:
    """Return whether the encoder was trained on waveforms of zero mean and unit variance.

    Convolutions with a layer norm each (`feat_extract_norm="layer"`: the large models) were, those
    with one group norm read them as they are: `task.normalize` in fairseq's
    hubert_base_librispeech.yaml and hubert_large_librivox.yaml.

    Args:
        config: of an encoder of `FAMILIES`.
    """
    normalized = family_of(config).normalized
    return config.feat_extract_norm == "layer" if normalized is None else normalized


def averages_over_time(config: PreTrainedConfig) -> bool:
    """Return whether the convolutions hold a group norm, which counts padding."""
    leaves_padding_out = getattr(config, "masked_group_norm", False)  # as MR-HuBERT can
    return getattr(config, "feat_extract_norm", None) == "group" and not leaves_padding_out


def mixes_padding(config: PreTrainedConfig) -> bool:
    """Return whether padding changes valid frames even where it is zero behind the convolutions.

    The positional embedding of most is one convolution, to which zeros are what it pads with. With
    several of them, or a batch norm before, the padding is no longer zero in the next.
    """
    family = FAMILIES.get(config.model_type)
    has_batch_norm = getattr(config, "conv_pos_batch_norm", False)
    has_time_norm = not getattr(config, "masked_group_norm", True)  # of MR-HuBERT
    return family is None or family.mixes_padding or has_batch_norm or has_time_norm


def default_feature_extractor(config: PreTrainedConfig) -> Wav2Vec2FeatureExtractor:
    """Return the feature extractor of an encoder, its `do_normalize` said explicitly.

    Args:
        config: of an encoder of `FAMILIES`; see `reads_normalized`.
    """
    return Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SAMPLING_RATE,
        padding_value=0.0,
        do_normalize=reads_normalized(config),
        return_attention_mask=True,
    )


# Frames


def num_output_frames(samples: Any, config: PreTrainedConfig) -> Any:
    """Return the number of frames of `samples` (an int or a long tensor), at least 0.

    That is the length of `last_hidden_state`; see also `num_valid_frames`.
    """
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples.clamp_min(0) if isinstance(samples, Tensor) else max(samples, 0)


def num_valid_frames(samples: Any, config: PreTrainedConfig) -> Any:
    """Return the number of frames that say something, at least 0.

    SEW and SEW-D see pairs of frames: of an odd number the last frame of its output is all zeros.
    """
    frames = num_output_frames(samples, config)
    return frames - frames % squeeze_of(config)


def frame_mask(
    waveforms: Tensor, attention_mask: Tensor | None, config: PreTrainedConfig
) -> Tensor | None:
    """Return (batch, frames) bool, True on frames that say something; None if all do.

    Unlike the encoder's own mask, an utterance too short for one frame has none.

    Args:
        waveforms: (batch, samples).
        attention_mask: (batch, samples), 1 on samples, 0 on padding at the end; or None.
        config: of the encoder.
    """
    batch, samples = waveforms.shape
    frames = num_output_frames(samples, config)
    if attention_mask is None:
        valid = num_valid_frames(samples, config)
        if valid == frames:
            return None
        return (torch.arange(frames, device=waveforms.device) < valid).expand(batch, -1)
    lengths = num_valid_frames(attention_mask.sum(dim=-1).to(torch.long), config)  # (batch,)
    return torch.arange(frames, device=attention_mask.device)[None, :] < lengths[:, None]


def spread_over_frames(states: Tensor, frames: int, config: PreTrainedConfig) -> Tensor:
    """Return the hidden states (batch, frames, hidden) of a layer at the rate of the output.

    The layers of SEW and SEW-D see half as many frames: each state is repeated, and a last odd
    frame is zero.
    """
    if squeeze_of(config) == 1:
        return states
    states = states.repeat_interleave(squeeze_of(config), dim=1)
    return nn.functional.pad(states, (0, 0, 0, frames - states.shape[1]))


def num_hidden_states(config: PreTrainedConfig) -> int:
    """Return how many hidden states an encoder has: its input, and one behind every layer.

    MR-HuBERT has more in another feature set than the default one.
    """
    return getattr(config, "num_hidden_states", config.num_hidden_layers + 1)


def states_of_frames(output: ModelOutput, config: PreTrainedConfig) -> list[Tensor]:
    """Return all hidden states (batch, frames, hidden) at the rate of the output, itself the last.

    Args:
        output: of a plain encoder, with `hidden_states`.
        config: of the encoder.
    """
    if getattr(config, "feature_set", "default") != "default":
        return list(output.hidden_states)  # of MR-HuBERT, where the last is another state
    frames = output.last_hidden_state.shape[1]
    inner = [spread_over_frames(state, frames, config) for state in output.hidden_states[:-1]]
    return [*inner, output.last_hidden_state]


def check_frame_rate(config: PreTrainedConfig) -> None:
    """Refuse an encoder whose frames are not those that labels, units and windows count in.

    Raises:
        ValueError: frames that are not of 400 samples every 320.
    """
    shift, window = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        window += (kernel - 1) * shift
        shift *= stride
    if (window, shift) != (FRAME_WINDOW, FRAME_SHIFT):
        raise ValueError(
            f"got an encoder with a frame of {window} samples every {shift}; expected "
            f"{FRAME_WINDOW} samples every {FRAME_SHIFT} (50 frames per second), as HuBERT, WavLM "
            "and relatives have: use an encoder with conv_kernel and conv_stride of theirs."
        )


def squeeze_of(config: PreTrainedConfig) -> int:
    """Return how many frames of 20 ms an encoder joins to one inside: 2 of SEW, else 1."""
    return config.squeeze_factor if family_of(config).squeezes else 1


def drop_layers_above(encoder: PreTrainedModel, layer: int) -> None:
    """Take layers away that hidden state `layer` does not need, where a family allows it.

    One more is kept: the state behind the last layer may be normalised, which that of the whole
    encoder is not there.
    """
    family = family_of(encoder.config)
    if family.splits and family.blocks is None:
        del layers_of(encoder)[layer + 1 :]
