"""Self-attention that picks the fastest way for the device, the precision and the dropout.

CPU milliseconds of forward and backward, 4 x 499 frames, 12 heads of 64, one AVX512-bf16 core
(`training_scripts/benchmark.py attention`); "reduced" is scaled_dot_product_attention under
`allow_fp16_bf16_reduction_math_sdp`, "bias" the gated position bias of WavLM:

| precision | bias | dropout | naive eager | scaled_dot_product_attention | reduced | blocks |
| :-- | :-- | --: | --: | --: | --: | --: |
| bfloat16 | no | .1 | 245 | 436 | 260 | 102 |
| bfloat16 | no | 0 | 150 | 154 | 154 | 98 |
| bfloat16 | yes | .1 | 487 | 605 | 363 | 138 |
| bfloat16 | yes | 0 | 345 | 455 | 263 | 107 |
| float32 | no | .1 | 443 | 415 | 421 | 200 |
| float32 | no | 0 | 290 | 143 | 142 | 179 |
| float32 | yes | .1 | 541 | 489 | 485 | 234 |
| float32 | yes | 0 | 349 | 322 | 323 | 175 |

On CPUs `scaled_dot_product_attention` is one fused kernel only without dropout and without a bias
that wants a gradient. `blockwise_attention` trains there, but for the one row where it is slower;
everywhere else (GPUs, inference) `scaled_dot_product_attention` is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel, WavLMModel
from transformers.masking_utils import sdpa_mask
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

NAME = "fastest_attention"  # in the configuration of a built encoder; never saved


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    gate: Tensor | None = None,
    position_bias: Tensor | None = None,
) -> Tensor:
    """Return softmax(query key^T / sqrt(dim) + gate * position_bias) value.

    Args:
        query: (batch, heads, frames, dim); key and value alike.
        key: see `query`.
        value: see `query`.
        mask: bool, of a shape that broadcasts to (batch, heads, frames, frames); True is attended.
        dropout: probability with which an attention weight becomes 0.
        gate: (batch, heads, frames, 1), scales the bias of each query; None: by 1.
        position_bias: (batch or 1, heads, frames, frames), added to the scores.

    Returns:
        (batch, heads, frames, dim).
    """
    inputs = [t for t in (query, key, value, gate, position_bias) if t is not None]
    if _trains_on_cpu(inputs) and not (
        dropout == 0 and position_bias is None and query.dtype == torch.float32
    ):
        blockwise = _blockwise()
        if blockwise is not None:
            return blockwise(query, key, value, mask, dropout, gate, position_bias)
    if position_bias is not None:
        gated = position_bias if gate is None else gate * position_bias
        bias = gated.to(query.dtype)  # (batch, heads, frames, frames)
        mask = bias if mask is None else bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
    return nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout
    )


@lru_cache
def _blockwise() -> Callable[..., Tensor] | None:
    """Return `blockwise_attention`; None in code that travels with a model, which goes without."""
    try:
        return import_module("hf_rspin.models.blockwise_attention").blockwise_attention
    except ImportError:
        return None


def _trains_on_cpu(inputs: list[Tensor]) -> bool:
    if inputs[0].device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)


def fastest_attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    output_attentions: bool | None = False,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend as transformers' attention functions do; the encoders' layers call it.

    Returns:
        (batch, frames, heads, dim), and the maps (batch, heads, frames, frames) where
        `output_attentions` asks for them, by the explicit form, else None.
    """
    if scaling is not None and scaling != query.shape[-1] ** -0.5:
        query = query * (scaling * query.shape[-1] ** 0.5)
    if not output_attentions:
        options = (attention_mask, dropout, None, position_bias)
        return attend(query, key, value, *options).transpose(1, 2), None
    scores = query @ key.mT * query.shape[-1] ** -0.5
    scores = scores if position_bias is None else scores + position_bias
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    maps = nn.functional.dropout(scores.softmax(-1), dropout, module.training)
    return (maps.to(value.dtype) @ value).transpose(1, 2), maps


def choose_attention(encoder: PreTrainedModel) -> PreTrainedModel:
    """Let every layer of an encoder pick the fastest attention at each call, in place.

    Same weights, same outputs to rounding. An encoder whose attention its user chose
    (`attn_implementation="eager"`, "flash_attention_2", ...) stays as it is; so does one whose
    layers have their own form of attention (SEW-D). WavLM's layers get `WavLMSdpaAttention`.
    """
    if isinstance(encoder, WavLMModel):
        return use_sdpa_attention(encoder)
    if encoder.config._attn_implementation == "sdpa":
        encoder.set_attn_implementation(NAME)
    return encoder


AttentionInterface.register(NAME, fastest_attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)


class WavLMSdpaAttention(WavLMAttention):
    """Self-attention with a gated relative position bias (WavLM, arXiv 2110.13900, section 3.2).

    Equal to the stock layer to rounding, with its parameter names. The stock layer hands the raw
    weights of its projections to a functional form, so that modules put in their place (LoRA) are
    bypassed; here every projection is called as a module.
    """

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        index: int = 0,
        output_attentions: bool = False,
        **kwargs,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Attend over frames.

        Args:
            hidden_states: (batch, frames, hidden).
            attention_mask: (batch, frames) bool, False on padding.
            position_bias: (1, heads, frames, frames) of the first layer; None in that layer.
            index: number of the layer, unused.
            output_attentions: also return the attention maps, by the slower explicit form.
            **kwargs: unused, as in the stock layer.

        Returns:
            (batch, frames, hidden), attention maps averaged over heads and repeated
            (batch, heads, frames, frames) as stock or None, and the position bias to hand on.
        """
        batch, frames, _ = hidden_states.shape
        if position_bias is None:
            position_bias = self.compute_bias(frames, frames)[None]  # (1, heads, frames, frames)
        shape = (batch, frames, self.num_heads, self.head_dim)
        query, key, value = (
            projection(hidden_states).view(shape).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # (batch, heads, frames, head_dim) each
        gate = self._gate(hidden_states.view(shape).transpose(1, 2))  # (batch, heads, frames, 1)
        mask = None if attention_mask is None else attention_mask[:, None, None, :].eq(1)
        options = (mask, self.dropout if self.training else 0.0, gate, position_bias)
        maps = None
        if output_attentions:
            context, maps = self._explicit(query, key, value, *options)
        else:
            context = attend(query, key, value, *options)
        context = context.transpose(1, 2).reshape(batch, frames, self.embed_dim)
        return self.out_proj(context), maps, position_bias

    def _gate(self, states: Tensor) -> Tensor:
        """Return the gate (batch, heads, frames, 1) of `states` (batch, heads, frames, dim)."""
        halves = self.gru_rel_pos_linear(states).unflatten(-1, (2, 4)).sum(-1)
        update, reset = torch.sigmoid(halves).chunk(2, dim=-1)
        return update * (reset * self.gru_rel_pos_const - 1.0) + 2.0

    def _explicit(self, query, key, value, mask, dropout, gate, position_bias):
        """Return what `attend` does, and the maps as stock: the average over heads, repeated."""
        scores = query @ key.mT * self.scaling + gate * position_bias
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = nn.functional.dropout(scores.softmax(-1), dropout)
        maps = weights.mean(dim=1, keepdim=True).expand_as(weights)
        return weights.to(value.dtype) @ value, maps


def use_sdpa_attention(encoder: WavLMModel) -> WavLMModel:
    """Make every layer of a WavLM encoder use `WavLMSdpaAttention`, in place; same weights."""
    for layer in encoder.encoder.layers:
        # the class carries no state of its own, so that the built layer can change it
        layer.attention.__class__ = WavLMSdpaAttention
    return encoder
