"""MR-HuBERT: a HuBERT whose middle layers see fewer frames per second, plain and with CTC."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import HubertForCTC, HubertModel, HubertPreTrainedModel
from transformers import initialization as init
from transformers.models.hubert.modeling_hubert import HubertFeatureProjection

from hf_rspin.models.backbones.mr_hubert_configuration import FEATURE_SETS, MRHubertConfig
from hf_rspin.models.backbones.mr_hubert_encoder import MRHubertEncoder, MRHubertOutput
from hf_rspin.models.backbones.mr_hubert_sampling import MaskedFeatureEncoder
from hf_rspin.models.own_types import TravellingEncoder, register_type


class MRHubertModel(TravellingEncoder, HubertPreTrainedModel):
    """Multi-resolution HuBERT (arXiv 2310.02720; analysed in arXiv 2410.23955).

    Layers, convolutions and names of weights within them are HuBERT's. `hidden_states` all have the
    frames of `last_hidden_state`, 50 per second; a state of a low resolution is repeated. By
    feature set:

    - default, one more than layers as in HuBERT: the input of the first layer, then the state
      behind every layer. Behind the last layer of a block that is what the block hands on: with its
      final norm (pre-norm), with its input (lowest resolution) or with the output of its
      counterpart (on the way up). So the output of every resolution is among them, and the last is
      `last_hidden_state`.
    - superb, which the published SUPERB figures used: per block the input of each layer, then the
      output of the block without any of these sums; 15 for 4-4-4.

    Padding: with `config.masked_group_norm`, the default, a padded utterance gives what it gives
    alone (an odd number of frames, and fewer than one pair, too). False gives what the public code
    gives, whose norms over time count padding: those of the sampling modules, and that of the first
    convolution (`feat_extract_norm="group"`), and whose utterances have a frame or two more. By the
    norms alone, padding 2 s of noise by 0.5 s moves the output of a random model by 1 % of its
    norm, by 2 s 2 to 3 %; with the group norm in front 14 % and 32 to 39 %.

    Example:
        >>> small = MRHubertConfig(hidden_size=64, num_attention_heads=2, intermediate_size=64)
        >>> output = MRHubertModel(small)(torch.randn(1, 16000))
        >>> [tuple(states.shape) for states in output.resolution_outputs]  # 25 and 50 Hz
        [(1, 25, 64), (1, 49, 64)]
    """

    config: MRHubertConfig
    config_class = MRHubertConfig
    _no_split_modules = [
        "HubertEncoderLayer", "HubertEncoderLayerStableLayerNorm", "SamplingModule",
    ]  # fmt: skip
    _can_record_outputs = {}

    def __init__(self, config: MRHubertConfig):
        super().__init__(config)
        self.feature_extractor = MaskedFeatureEncoder(config)
        self.feature_projection = HubertFeatureProjection(config)
        if config.mask_time_prob > 0 or config.mask_feature_prob > 0:
            self.masked_spec_embed = nn.Parameter(torch.rand(config.hidden_size))
        self.encoder = MRHubertEncoder(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MRHubertModel) and hasattr(module, "masked_spec_embed"):
            init.uniform_(module.masked_spec_embed)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | Sequence[int] | int | None = None,
        return_dict: bool | None = None,
        feature_set: str | None = None,
    ) -> MRHubertOutput | tuple:
        """Encode waveforms.

        Args:
            input_values: (batch, samples) at 16 kHz.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end; or None.
            mask_time_indices: (batch, frames) bool at 50 Hz, True on frames whose features are
                replaced by an embedding, in training and out of it; None: in training, as
                `config.mask_time_prob` and `apply_spec_augment` say.
            output_attentions: refused where True.
            output_hidden_states: all of them, or those of some indices; None: as the config.
            return_dict: False gives a tuple.
            feature_set: which hidden states; None: as the config.

        Raises:
            ValueError: maps of attention are asked for, an unknown feature set, or masked frames
                without an embedding of them.
        """
        feature_set = feature_set or self.config.feature_set
        self._check(output_attentions, feature_set)
        samples = None if attention_mask is None else attention_mask.sum(dim=-1).long()
        counted = samples if self.config.masked_group_norm else None
        features = self.feature_extractor(input_values, counted).transpose(1, 2)
        mask = None  # (batch, frames) bool
        if attention_mask is not None:
            mask = self._get_feature_vector_attention_mask(features.shape[1], attention_mask)
        states = self._mask(self.feature_projection(features), mask_time_indices, mask)
        output = self.encoder(
            states, mask, self._selected(output_hidden_states, feature_set), feature_set
        )
        # READ corrects the last state of the stack it is put around
        resolutions = (*output.resolution_outputs[:-1], output.last_hidden_state)
        output.resolution_outputs = resolutions
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def _check(self, output_attentions: bool | None, feature_set: str) -> None:
        if self.config.output_attentions if output_attentions is None else output_attentions:
            raise ValueError(
                "output_attentions is True; expected False: layers of several resolutions have "
                "maps of several sizes, which MR-HuBERT does not return."
            )
        if feature_set not in FEATURE_SETS:
            raise ValueError(
                f"feature_set is {feature_set!r}; expected one of {', '.join(FEATURE_SETS)}."
            )

    def _selected(
        self, wanted: bool | Sequence[int] | int | None, feature_set: str
    ) -> Sequence[int]:
        """Return which hidden states to return, counted from 0."""
        wanted = self.config.output_hidden_states if wanted is None else wanted
        layers, blocks = self.config.num_hidden_layers, self.config.num_blocks
        count = layers + (blocks if feature_set == "superb" else 1)
        if isinstance(wanted, bool):
            return range(count) if wanted else ()
        indices = [wanted] if isinstance(wanted, int) else wanted
        return [index % count for index in indices if -count <= index < count]

    def _mask(self, states: Tensor, indices: Tensor | None, frame_mask: Tensor | None) -> Tensor:
        """Replace the features of masked frames; (batch, frames, hidden)."""
        if indices is None:
            return HubertModel._mask_hidden_states(self, states, attention_mask=frame_mask)
        if not hasattr(self, "masked_spec_embed"):
            raise ValueError(
                "got mask_time_indices, but the model has no embedding of masked frames: build it "
                "with mask_time_prob above 0."
            )
        if indices.shape != states.shape[:2]:
            raise ValueError(
                f"mask_time_indices have shape {tuple(indices.shape)}; expected (batch, frames) = "
                f"{tuple(states.shape[:2])}."
            )
        return torch.where(indices.bool()[..., None], self.masked_spec_embed.to(states), states)

    def _get_feature_vector_attention_mask(
        self, feature_vector_length: int, attention_mask: Tensor
    ) -> Tensor:
        """Return (batch, frames) bool; what is too short for a frame has one.

        Without one, attention would have nothing to attend to. The public code cuts the samples of
        a batch into as many equal parts as there are frames: a part with speech is a frame.
        """
        samples = attention_mask.sum(dim=-1).long()
        if self.config.masked_group_norm:
            lengths = self._get_feat_extract_output_lengths(samples)
        else:
            part = attention_mask.shape[1] // feature_vector_length
            lengths = (samples + part - 1) // part
        places = torch.arange(feature_vector_length, device=attention_mask.device)
        return places < lengths.clamp_min(1)[:, None]


class MRHubertForCTC(TravellingEncoder, HubertForCTC):
    """`MRHubertModel` with a CTC head, as `HubertForCTC`; logits at 50 Hz."""

    config: MRHubertConfig
    config_class = MRHubertConfig
    _can_record_outputs = {}

    def __init__(self, config: MRHubertConfig, target_lang: str | None = None):
        super().__init__(config, target_lang)
        self.hubert = MRHubertModel(config)
        self.post_init()


register_type(MRHubertConfig, MRHubertModel, MRHubertForCTC)
