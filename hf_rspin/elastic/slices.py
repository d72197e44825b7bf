"""Which part of every weight a subnet uses: always the front of every axis.

LayerNorms, the feature projection, the positional convolution, attention and feed-forward blocks
are sliced; the convolutions of the feature encoder are not.

The positional convolution keeps its number of groups G. A subnet of width w takes the first w
output channels and, of each, the first w / G inputs of its group, of the weight behind its weight
norm; so do the authors, and so a subnet can be a plain encoder. Other channels share a group then:
in a full encoder of width 768 with 16 groups, channel 40 sees channels 0 to 47; in a subnet of
width 512 it belongs to the second group, and sees channels 32 to 63 through the weights of the
first 32 of its former inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel, PreTrainedConfig, PreTrainedModel

from hf_rspin.elastic.space import SubnetSpace
from hf_rspin.elastic.subnet import Subnet

POSITIONS = "encoder.pos_conv_embed.conv"


def head_size(config: PreTrainedConfig) -> int:
    """Return the dimensions of an attention head."""
    return config.hidden_size // config.num_attention_heads


def full_subnet(config: PreTrainedConfig) -> Subnet:
    """Return the encoder itself as a subnet."""
    ratio = config.intermediate_size / config.hidden_size
    return Subnet.uniform(
        config.hidden_size, config.num_attention_heads, ratio, config.num_hidden_layers
    )


def front_sizes(config: PreTrainedConfig, subnet: Subnet) -> dict[str, tuple[int, ...]]:
    """Return how much of each axis of a weight a subnet uses, by the module's name.

    A bias and what else has one axis is as long as the first.

    Args:
        config: of the full encoder.
        subnet: with at most as many layers.
    """
    width, size = subnet.width, head_size(config)
    inputs = width // config.num_conv_pos_embedding_groups
    sizes: dict[str, tuple[int, ...]] = {
        "feature_projection.projection": (width, config.conv_dim[-1]),
        POSITIONS: (width, inputs),
        "encoder.layer_norm": (width,),
    }
    layers = zip(subnet.heads, subnet.feed_forward, strict=True)
    for number, (heads, feed_forward) in enumerate(layers):
        layer = f"encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj"):
            sizes[f"{layer}.attention.{name}"] = (heads * size, width)
        sizes[f"{layer}.attention.out_proj"] = (width, heads * size)
        sizes[f"{layer}.layer_norm"] = sizes[f"{layer}.final_layer_norm"] = (width,)
        sizes[f"{layer}.feed_forward.intermediate_dense"] = (feed_forward, width)
        sizes[f"{layer}.feed_forward.output_dense"] = (width, feed_forward)
    return sizes


def front(values: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return the first `sizes` of the first axes of a tensor, a view."""
    return values[tuple(slice(size) for size in sizes)]


def sliced_weights(encoder: HubertModel, subnet: Subnet) -> dict[str, Tensor]:
    """Return the weights of a subnet by the names of a plain encoder, views where possible.

    The positional convolution has its weight norm newly split into direction and size.
    """
    sizes = front_sizes(encoder.config, subnet)
    found = {}
    for name, values in encoder.state_dict().items():
        module, _, parameter = name.rpartition(".")
        if name.startswith(f"{POSITIONS}.parametrizations"):
            continue
        if name.startswith("encoder.layers.") and int(name.split(".")[2]) >= subnet.depth:
            continue
        if name == "masked_spec_embed":
            found[name] = front(values, (subnet.width,))
        elif module in sizes:
            found[name] = front(values, sizes[module] if values.dim() > 1 else sizes[module][:1])
        else:
            found[name] = values
    with torch.no_grad():
        weight = front(encoder.get_submodule(POSITIONS).weight, sizes[POSITIONS])
        size = weight.norm(dim=(0, 1), keepdim=True)  # one per place of the kernel
    names = f"{POSITIONS}.parametrizations.weight.original"
    return found | {f"{names}0": size, f"{names}1": weight}


def check_elastic(encoder: PreTrainedModel | PreTrainedConfig) -> None:
    """Refuse an encoder that cannot run as a subnet.

    Raises:
        ValueError: no HuBERT, or one of an unusual kind.
    """
    config = encoder if isinstance(encoder, PreTrainedConfig) else encoder.config
    plain = isinstance(encoder, HubertConfig | HubertModel)
    if config.model_type != HubertConfig.model_type or not plain:
        raise ValueError(
            f"got a {config.model_type!r} model ({type(encoder).__name__}); expected a plain "
            "HuBERT: only HuBERT runs as a subnet."
        )
    for name in ("conv_pos_batch_norm", "adapter_attn_dim"):
        if getattr(config, name, None):
            raise ValueError(
                f"the encoder has {name} {getattr(config, name)}, which is not elastic; expected "
                "a HuBERT without."
            )
    if isinstance(encoder, PreTrainedModel):
        _check_plain_modules(encoder)


def _check_plain_modules(encoder: PreTrainedModel) -> None:
    """Refuse what wraps modules, such as LoRA: a subnet would read the weights below it alone."""
    modules = dict(encoder.named_modules())
    for name in front_sizes(encoder.config, full_subnet(encoder.config)):
        if not isinstance(modules.get(name), nn.Linear | nn.LayerNorm | nn.Conv1d):
            raise ValueError(
                f"{name} of the encoder is wrapped by an adapter or not there; expected a plain "
                "HuBERT: merge the adapter first (LoRA: hf_rspin.adapters.merge_lora), or "
                "load the encoder without it."
            )


def check_fits(config: PreTrainedConfig, space: SubnetSpace) -> None:
    """Refuse a space whose subnets an encoder does not hold.

    Args:
        config: of the full encoder.
        space: of its subnets; its largest may be smaller than the encoder.

    Raises:
        ValueError: another head size, something larger than the encoder, or a width that the
            groups of the positional convolution do not divide.
    """
    check_elastic(config)
    if space.head_size != head_size(config):
        raise ValueError(
            f"the space has heads of {space.head_size} dimensions and the encoder of "
            f"{head_size(config)}; expected the same: heads are kept whole."
        )
    largest, limits = space.largest, (
        ("width", max(space.widths), config.hidden_size),
        ("number of heads", max(space.heads), config.num_attention_heads),
        ("number of layers", max(space.depths), config.num_hidden_layers),
    )  # fmt: skip
    feed_forward = ("feed-forward size", largest.feed_forward[0], config.intermediate_size)
    for what, wanted, there in (*limits, feed_forward):
        if wanted > there:
            raise ValueError(
                f"the encoder is too small for the space: its {what} is {there}, and subnets of "
                f"{wanted} are asked for; name a smaller space, or a larger encoder."
            )
    for width in space.widths:
        check_width(config, width)


def check_width(config: PreTrainedConfig, width: int) -> None:
    """Refuse a width that the positional convolution cannot have.

    Raises:
        ValueError: its groups do not divide it.
    """
    groups = config.num_conv_pos_embedding_groups
    if width % groups:
        raise ValueError(
            f"width {width} is not divided by the {groups} groups of the positional "
            f"convolution; expected a multiple of {groups}."
        )
