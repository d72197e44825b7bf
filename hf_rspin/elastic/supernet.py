"""A HuBERT that runs as one of its subnets: its modules use the front of their weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import HubertModel

from hf_rspin.elastic.slices import check_elastic, check_width, front, front_sizes, full_subnet
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.models.encoder import layers_of


def set_subnet(encoder: HubertModel, subnet: Subnet | None) -> None:
    """Let an encoder run as a subnet from now on, in place; None: as itself.

    Weights and their names stay as they are, and gradients flow into the front of the full ones.
    What a subnet uses whole is not touched: the full subnet is the plain encoder bit for bit.

    Args:
        encoder: plain; in training too, with gradient checkpointing: the subnet holds until the
            next call, so that a backward recomputes the same.
        subnet: of at most the encoder's sizes.

    Raises:
        ValueError: no HuBERT, one with an adapter that is not merged, or a subnet that it does not
            hold.

    Example:
        >>> encoder = HubertModel.from_pretrained(encoder_folder())
        >>> set_subnet(encoder, Subnet.uniform(128, 2, 4.0, depth=4))
        >>> encoder(waveform).last_hidden_state.shape      # (batch, samples) at 16 kHz
        torch.Size([1, 49, 128])
    """
    config = encoder.config
    check_elastic(encoder if subnet is not None else config)  # None: also below an adapter
    whole = front_sizes(config, full_subnet(config))
    sizes = {} if subnet is None else front_sizes(config, subnet)
    _check_smaller(sizes, whole)
    if subnet is not None:
        check_width(config, subnet.width)
    for name in whole:
        module = encoder.get_submodule(name)
        vars(getattr(module, "base_layer", module)).pop("forward", None)
    for name, used in sizes.items():
        if used != whole[name]:
            module = encoder.get_submodule(name)
            module.forward = partial(_forward_of(module), module, used)
    layers = layers_of(encoder)
    layers.__class__ = nn.ModuleList if subnet is None else _LowestLayers
    vars(layers)["depth"] = None if subnet is None else subnet.depth
    vars(encoder)["_subnet"] = subnet
    vars(encoder).pop("_mask_hidden_states", None)
    if subnet is not None and subnet.width < config.hidden_size:
        encoder._mask_hidden_states = partial(_mask_narrow, encoder)


@contextlib.contextmanager
def running_as(encoder: HubertModel, subnet: Subnet | None) -> Iterator[HubertModel]:
    """Run an encoder as a subnet inside, and afterwards as before; see `set_subnet`.

    Example:
        >>> encoder = HubertModel.from_pretrained(encoder_folder())
        >>> with running_as(encoder, Subnet.uniform(128, 2, 4.0, depth=4)):
        ...     states = encoder(waveform).last_hidden_state
        >>> states.shape, encoder(waveform).last_hidden_state.shape
        (torch.Size([1, 49, 128]), torch.Size([1, 49, 256]))
    """
    before = vars(encoder).get("_subnet")
    set_subnet(encoder, subnet)
    try:
        yield encoder
    finally:
        set_subnet(encoder, before)


class _LowestLayers(nn.ModuleList):
    """The layers of an encoder, of which a forward sees the lowest `depth`."""

    def __iter__(self) -> Iterator[nn.Module]:
        return iter([*self._modules.values()][: self.depth])


def _check_smaller(sizes: dict[str, tuple], whole: dict[str, tuple]) -> None:
    for name, used in sizes.items():
        if name not in whole or any(u > w for u, w in zip(used, whole[name], strict=True)):
            there = whole.get(name, "not there")
            raise ValueError(
                f"the encoder is too small for the subnet: {name} would be {used} and is {there}; "
                "expected a subnet of at most its sizes."
            )


def _forward_of(module: nn.Module) -> Callable[..., Tensor]:
    if isinstance(module, nn.LayerNorm):
        return _layer_norm
    return _convolution if isinstance(module, nn.Conv1d) else _linear


def _linear(module: nn.Linear, sizes: tuple[int, int], states: Tensor) -> Tensor:
    bias = None if module.bias is None else front(module.bias, sizes[:1])
    return functional.linear(states, front(module.weight, sizes), bias)


def _layer_norm(module: nn.LayerNorm, sizes: tuple[int], states: Tensor) -> Tensor:
    weight, bias = front(module.weight, sizes), front(module.bias, sizes)
    return functional.layer_norm(states, sizes, weight, bias, module.eps)


def _convolution(module: nn.Conv1d, sizes: tuple[int, int], states: Tensor) -> Tensor:
    bias = front(module.bias, sizes[:1])
    return module._conv_forward(states, front(module.weight, sizes), bias)


def _mask_narrow(encoder: HubertModel, hidden_states: Tensor, *given: Any, **named: Any) -> Tensor:
    """Mask (batch, frames, width) as the full encoder does, with the front of its embedding."""
    width = hidden_states.shape[-1]
    wide = functional.pad(hidden_states, (0, encoder.config.hidden_size - width))
    return type(encoder)._mask_hidden_states(encoder, wide, *given, **named)[..., :width]
