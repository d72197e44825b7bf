"""WavLM attention by the fastest way (`attention.attend`), equal to the stock layer to rounding.

The stock layer hands the raw weights of its projections to a functional form, so modules
put in their place (LoRA) are bypassed. Here every projection is called as a module, and the gated
relative position bias is added to the scores block by
block. Parameter names stay the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import WavLMModel
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from hf_rspin.models.attention import attend


class WavLMSdpaAttention(WavLMAttention):
    """Self-attention with a gated relative position bias (WavLM, arXiv 2110.13900, section 3.2)."""

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
