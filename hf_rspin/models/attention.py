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

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel, WavLMModel
from transformers.masking_utils import sdpa_mask
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

NAME = "fastest_attention"  # in the configuration of a built encoder; never saved
BLOCK_ENTRIES = 2**19  # of the scores, for each thread: 1 MB in bfloat16


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
        return blockwise_attention(query, key, value, mask, dropout, gate, position_bias)
    if position_bias is not None:
        gated = position_bias if gate is None else gate * position_bias
        bias = gated.to(query.dtype)  # (batch, heads, frames, frames)
        mask = bias if mask is None else bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
    return nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout
    )


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


def draw_signs(shape: torch.Size | tuple[int, ...], dropout: float) -> Tensor:
    """Draw integers, int16, that are negative with probability `dropout`, on the CPU.

    Four draws from 64 bits of torch's generator: ten times as fast as `torch.bernoulli`, and the
    probability is right to within 2^-17.
    """
    count = math.prod(shape)
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = bits.view(torch.int16)[:count].view(shape)  # uniform on -2^15..2^15-1
    lowest_kept = round(dropout * 2**16) - 2**15
    # clamped on the side that does not matter, so that the difference stays within 16 bits
    draws = draws.clamp_(max=0) if lowest_kept <= 0 else draws.clamp_(min=0)
    return draws.sub_(lowest_kept)


def blockwise_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    gate: Tensor | None = None,
    position_bias: Tensor | None = None,
) -> Tensor:
    """Return what `attend` does, a few heads at a time in the cache of a CPU; arguments see there.

    The plain form writes and reads the (batch, heads, frames, frames) scores from memory about ten
    times, some of them in float32, and draws a random double for each. Here a block of heads stays
    in the cache from its scores to its output, a dropped weight is told by its sign, and 64 random
    bits make four draws. Kept for the backward: one matrix of weights in the precision of the
    inputs, where the plain form keeps three.
    """
    return _Blockwise.apply(query, key, value, mask, dropout, gate, position_bias)


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, mask, dropout, gate, position_bias):
        batch, heads, frames, dim = query.shape
        with torch.autocast("cpu", enabled=False):
            query, key, value = query * dim**-0.5, key.contiguous(), value.contiguous()
            weights = query.new_empty(batch, heads, frames, key.shape[2])
            output = value.new_empty(batch, heads, frames, value.shape[3])
            for block in _blocks(weights):
                scores = _scores(query[block], key[block], block, mask, gate, position_bias)
                softmax = scores.softmax(-1)  # (heads in the block, frames, frames)
                if dropout > 0:  # the sign of a dropped weight is turned
                    signs = draw_signs(softmax.shape, dropout)
                    torch.copysign(softmax, signs, out=weights[block])
                    output[block] = torch.bmm(weights[block].relu(), value[block])
                else:
                    weights[block] = softmax
                    output[block] = torch.bmm(softmax, value[block])
            output *= 1 / (1 - dropout)
        ctx.save_for_backward(query, key, value, weights, output, gate, position_bias)
        ctx.dropout = dropout
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Any, ...]:
        query, key, value, weights, output, gate, position_bias = ctx.saved_tensors
        # with a = softmax(s), dL/ds = a * (dL/da - sum(a dL/da)), and that sum is output . grad
        wide = torch.promote_types(grad.dtype, torch.float32)
        total = (grad.to(wide) * output).sum(-1, keepdim=True).to(grad.dtype)
        grad = grad.contiguous() * (1 / (1 - ctx.dropout))
        grads = [torch.empty_like(tensor) for tensor in (query, key, value)]
        grad_gate = grad_bias = None
        if ctx.needs_input_grad[5] or ctx.needs_input_grad[6]:
            grad_bias = torch.zeros_like(position_bias)
            grad_gate = None if gate is None else torch.zeros_like(gate)
        for block in _blocks(weights):
            signed = weights[block]
            kept = signed.relu() if ctx.dropout > 0 else signed
            grads[2][block] = torch.bmm(kept.mT, grad[block])
            grad_scores = torch.bmm(grad[block], value[block].mT).mul_(kept)
            grad_scores.addcmul_(signed.abs(), total[block], value=-1)
            grads[0][block] = torch.bmm(grad_scores, key[block])
            grads[1][block] = torch.bmm(grad_scores.mT, query[block])
            if grad_bias is not None:
                # in the precision of the bias at once: mixed products are slow
                _add_bias_gradients(grad_scores.to(grad_bias.dtype), block, gate, position_bias,
                                    grad_gate, grad_bias)  # fmt: skip
        grads[0] *= query.shape[-1] ** -0.5
        return *grads, None, None, grad_gate, grad_bias


def _blocks(weights: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield an utterance and some of its heads, so that their scores fit the caches."""
    batch, heads, *matrix = weights.shape
    step = max(1, torch.get_num_threads() * BLOCK_ENTRIES // max(1, math.prod(matrix)))
    for utterance in range(batch):
        for first in range(0, heads, step):
            yield utterance, slice(first, first + step)


def _scores(query: Tensor, key: Tensor, block: Any, mask: Any, gate: Any, bias: Any) -> Tensor:
    """Return the scores of one block, (heads in the block, frames, frames)."""
    if bias is None:
        scores = torch.bmm(query, key.mT)
    else:
        added = _of_block(bias, block)
        added = added if gate is None else gate[block] * added
        scores = torch.baddbmm(added.to(query.dtype), query, key.mT)  # the sum is rounded once
    if mask is not None:
        utterance = block[0] if len(mask) > 1 else 0
        allowed = mask[utterance] if mask.shape[1] == 1 else mask[utterance, block[1]]
        scores.masked_fill_(~allowed, torch.finfo(scores.dtype).min)
    return scores


def _of_block(bias: Tensor, block: tuple[int, slice]) -> Tensor:
    """Return the part (heads in the block, frames, frames) of (batch or 1, heads, ...)."""
    return bias[block[0] if len(bias) > 1 else 0, block[1]]


def _add_bias_gradients(
    grad_scores: Tensor, block: Any, gate: Tensor | None, bias: Tensor, grad_gate: Any,
    grad_bias: Tensor,
) -> None:  # fmt: skip
    """Add what a block, (heads in the block, frames, frames), gives to those of gate and bias."""
    if gate is None:
        _of_block(grad_bias, block).add_(grad_scores)
        return
    _of_block(grad_bias, block).addcmul_(grad_scores, gate[block])
    grad_gate[block] = grad_scores.mul_(_of_block(bias, block)).sum(-1, keepdim=True)


class WavLMSdpaAttention(WavLMAttention):
    """Self-attention with a gated relative position bias (WavLM, arXiv 2110.13900, section 3.2).

    The stock layer hands the raw weights of its projections to a functional form, so that modules
    put in their place (LoRA) are bypassed. Here every projection is called as a module, and the
    gated bias is added to the scores block by block. Parameter names stay the same, outputs to
    rounding.
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
