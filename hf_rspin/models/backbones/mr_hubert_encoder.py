"""The transformer blocks of MR-HuBERT at several frame rates, and what comes out of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.hubert.modeling_hubert import (
    HubertEncoderLayer,
    HubertEncoderLayerStableLayerNorm,
    HubertPositionalConvEmbedding,
)
from transformers.utils import ModelOutput

from hf_rspin.models.backbones.mr_hubert_configuration import MRHubertConfig
from hf_rspin.models.backbones.mr_hubert_sampling import SamplingModule


@dataclass
class MRHubertOutput(ModelOutput):
    """What MR-HuBERT gives for a batch.

    Attributes:
        last_hidden_state: (batch, frames, hidden) at 50 Hz.
        hidden_states: each (batch, frames, hidden) at 50 Hz, those of low resolutions repeated;
            None where they were not asked for. Which ones: see `MRHubertModel`.
        attentions: always None.
        resolution_outputs: (batch, frames / stride, hidden) of each resolution, the lowest first,
            at its own rate, frames rounded up; the last is `last_hidden_state`. Strides are
            `config.resolution_strides`.
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor | None, ...] | None = None
    attentions: None = None
    resolution_outputs: tuple[Tensor, ...] | None = None


class MRHubertEncoder(nn.Module):
    """Blocks of layers on the way down to the lowest resolution and up again.

    Every block but the first has a sampling module before it. A block on the way up adds what its
    counterpart on the way down gave; the lowest adds its input. `layers` is the list of the layers
    of all blocks in the order they run.
    """

    def __init__(self, config: MRHubertConfig):
        super().__init__()
        self.config, sizes, blocks = config, config.block_layers, config.num_blocks
        self.pre_norm = config.do_stable_layer_norm
        ends = [sum(sizes[: block + 1]) for block in range(blocks)]
        self.spans = [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        layer = HubertEncoderLayerStableLayerNorm if self.pre_norm else HubertEncoderLayer
        self.pos_conv_embed = HubertPositionalConvEmbedding(config)
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for _ in range(blocks)
        )
        self.dropouts = nn.ModuleList(nn.Dropout(config.hidden_dropout) for _ in range(blocks))
        self.layers = nn.ModuleList(layer(config) for _ in range(config.num_hidden_layers))
        self.sampling = nn.ModuleList(
            SamplingModule(
                config.hidden_size, ratio, rising=2 * index + 2 > blocks,
                simple=config.simple_sampling, masked=config.masked_group_norm,
            )
            for index, ratio in enumerate(config.sampling_ratios)
        )  # fmt: skip
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        selected: Collection[int] = (),
        feature_set: str = "default",
    ) -> MRHubertOutput:
        """Run all blocks.

        Args:
            hidden_states: (batch, frames, hidden) at 50 Hz.
            attention_mask: (batch, frames) bool, False on padding; or None.
            selected: which hidden states to return; the places of others hold None.
            feature_set: see `MRHubertModel`.
        """
        frames, states, mask = hidden_states.shape[1], hidden_states, attention_mask
        lowest, kept, outputs, features = len(self.norms) // 2, [], [], []
        for block, stride in enumerate(self.config.block_strides):
            if block > 0:
                states, mask = self.sampling[block - 1](states, mask)
            if mask is not None:
                states = states.masked_fill(~mask[..., None], 0)
            inner, last = self._run_block(block, states, mask)
            if block < lowest:
                states = last
                kept.append((last, mask))
            elif block == lowest:
                states = states + last
            else:
                states, mask = self._join(last, mask, *kept.pop())
            if block >= lowest:
                outputs.append(states)
            if feature_set == "superb":
                inner = [*inner, last]
            else:  # the input of other blocks than the first is no state behind a layer
                inner = [*inner[0 if block == 0 else 1 :], states]
            features += [(state, stride) for state in inner]
        found = tuple(
            _spread(state, stride, frames) if index in selected else None
            for index, (state, stride) in enumerate(features)
        )
        return MRHubertOutput(states, found if selected else None, None, tuple(outputs))

    def at_50_hz(self, states: list[Tensor]) -> list[Tensor]:
        """Return the input of the first layer and the outputs of all at 50 Hz.

        Args:
            states: (batch, frames of the layer, hidden) each, one more than layers.
        """
        strides = [s for s, span in zip(self.config.block_strides, self.spans, strict=True)
                   for _ in span]  # fmt: skip
        frames = states[0].shape[1]
        return [_spread(x, s, frames) for x, s in zip(states, [1, *strides], strict=True)]

    def modules_below(self, num_layers: int) -> list[nn.Module]:
        """Return what runs before layer `num_layers`, counted from 0, in the blocks."""
        modules = [self.pos_conv_embed, *self.layers[:num_layers]]
        for block, span in enumerate(self.spans):
            if span.start <= num_layers:
                modules += [self.dropouts[block], *self.sampling[block - 1 : block]]
            if (span.stop if self.pre_norm else span.start) <= num_layers:
                modules.append(self.norms[block])
        return modules

    def modules_above(self, num_layers: int) -> list[nn.Module]:
        """Return what takes no part in hidden state `num_layers` of the default features."""
        modules = [*self.layers[num_layers:]]
        for block, span in enumerate(self.spans):
            if block > 0 and span.start >= num_layers:
                modules.append(self.sampling[block - 1])
            if (span.stop > num_layers) if self.pre_norm else (block and span.start >= num_layers):
                modules.append(self.norms[block])
        return modules

    def _run_block(
        self, block: int, states: Tensor, mask: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """Return the inputs of the layers, and the output of the block without any residual."""
        if block == 0:
            states = states + self.pos_conv_embed(states)
        if not self.pre_norm:
            states = self.norms[block](states)
        states = self.dropouts[block](states)
        mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=states, attention_mask=mask
        )
        inputs, drop = [], self.config.layerdrop if self.training else 0.0
        for index in self.spans[block]:
            inputs.append(states)
            if drop == 0 or torch.rand([]) >= drop:
                states = self.layers[index](states, attention_mask=mask)
        return inputs, self.norms[block](states) if self.pre_norm else states

    def _join(
        self, states: Tensor, mask: Tensor | None, kept: Tensor, kept_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Add what the block on the way down gave, which may have fewer frames.

        The public code goes on with the mask of the longer one, so that two utterances of odd
        lengths in one batch differ from each alone.
        """
        frames = kept.shape[1]
        if mask is not None:
            mask = kept_mask if self.config.masked_group_norm else mask[:, :frames]
        return states[:, :frames] + kept, mask


def _spread(states: Tensor, stride: int, frames: int) -> Tensor:
    """Return states of frames of `stride` x 20 ms at 50 Hz, each repeated, `frames` of them."""
    return (states if stride == 1 else states.repeat_interleave(stride, dim=1))[:, :frames]
