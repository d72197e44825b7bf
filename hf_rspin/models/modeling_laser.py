"""HuBERT and WavLM for LASER, and for SCORE with a frozen teacher.

The encoder is kept under the name its own `transformers` class uses, so that a saved folder also
loads as a plain encoder, or with a CTC head, without any of this code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import HubertModel, PreTrainedModel, WavLMModel
from transformers.models.hubert.modeling_hubert import HubertPreTrainedModel
from transformers.models.wavlm.modeling_wavlm import WavLMPreTrainedModel

from .configuration_laser import LaserConfigMixin, LaserHubertConfig, LaserWavLMConfig
from .encoding import frame_count
from .frame_similarity import pairwise_cosine
from .heads import SpinProjection
from .laser_head import LaserHead
from .laser_objective import laser_loss
from .laser_output import LaserOutput
from .loading import LoadingMixin
from .lower_layers import LowerLayersMixin
from .saving import SavingMixin
from .wavlm_attention import use_sdpa_attention


class LaserModelMixin(SavingMixin, LoadingMixin, LowerLayersMixin):
    """Everything the models share; the classes below add the encoder.

    LASER sends both views through the encoder. SCORE (`config.frozen_teacher`) sends one of them
    through a frozen teacher: in training a coin decides for the batch which, in eval mode it is
    the first. The coin is one of torch's, so that a resumed run sees the same.
    """

    def _build_head(self, config: LaserHubertConfig | LaserWavLMConfig) -> None:
        if not isinstance(config, LaserConfigMixin):
            raise TypeError(
                f"config is a {type(config).__name__}; expected a {self.config_class.__name__}: "
                "from_pretrained makes one of a plain encoder's folder."
            )
        config.validate()
        self.laser_head = LaserHead(
            config.hidden_size, config.projection_size, config.projection_layers
        )
        self.release_unused_encoder()

    def highest_layer_read(self) -> int:
        """Return the number of layers: the loss reads the encoder's output."""
        return self.config.num_hidden_layers

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SpinProjection):
            module.init_weights()

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        perturbed_input_values: Tensor | None = None,
        perturbed_attention_mask: Tensor | None = None,
        lower_states: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> LaserOutput | tuple:
        """Encode one view, or two views and compute the loss.

        Args:
            input_values: (batch, samples) at 16 kHz, the first view.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end.
            perturbed_input_values: (batch, other_samples), the same utterances, as long as they
                are in this view.
            perturbed_attention_mask: as `attention_mask`.
            lower_states: (batch, frames, hidden), what `lower_states()` gave for the first view.
            output_hidden_states: return those of every layer; one view only.
            output_attentions: return the attention maps; one view only.
            return_dict: False for a tuple.

        Raises:
            ValueError: different numbers of utterances, `lower_states` of one view, a teacher
                that is missing, or an utterance without a frame.
        """
        if perturbed_input_values is None:
            if lower_states is not None:
                raise ValueError("lower_states came with one view only; leave them out.")
            options = {
                "output_hidden_states": output_hidden_states,
                "output_attentions": output_attentions,
            }
            output = self.base_model(input_values, attention_mask, return_dict=True, **options)
            fields = {
                "last_hidden_state": output.last_hidden_state,
                "hidden_states": output.hidden_states,
                "attentions": output.attentions,
                "projections": self.laser_head(output.last_hidden_state),
            }
        else:
            if output_hidden_states or output_attentions:
                raise ValueError("hidden states and attentions are of one view: pass one view.")
            clean = input_values, attention_mask
            perturbed = perturbed_input_values, perturbed_attention_mask
            fields = self._two_views(clean, perturbed, lower_states)
        # built at once: fields set later would come last in a tuple, and the loss comes first
        output = LaserOutput(**fields)
        wanted = self.config.return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def _two_views(
        self,
        clean: tuple[Tensor, Tensor | None],
        perturbed: tuple[Tensor, Tensor | None],
        lower_states: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the loss of two views (waveforms, mask), by field of `LaserOutput`."""
        views, given = (clean, perturbed), (lower_states, None)
        if len(clean[0]) != len(perturbed[0]):
            raise ValueError(
                f"the views hold {len(clean[0])} and {len(perturbed[0])} utterances; expected the "
                "same utterances in both."
            )
        lengths = [self._frame_lengths(*view) for view in views]
        encoders = self._encoders()
        states = [
            self.encode_view(encoder, *view, known)
            for encoder, view, known in zip(encoders, views, given, strict=True)
        ]
        projections = [self.laser_head(state) for state in states]
        parts = self._loss(projections, lengths)
        with torch.no_grad():
            cosines = [pairwise_cosine(z, n) for z, n in zip(projections, lengths, strict=True)]
            mean, spread = (torch.cat(values).nanmean() for values in zip(*cosines, strict=True))
        return {
            **parts,
            "last_hidden_state": states[0],
            "projections": projections[0].detach(),
            "frame_cosine": mean,
            "frame_cosine_spread": spread,
        }

    def _loss(self, projections: list[Tensor], lengths: list[Tensor | None]) -> dict[str, Tensor]:
        config = self.config
        parts = laser_loss(
            *projections,
            *lengths,
            gamma=config.soft_dtw_gamma,
            alpha=config.idm_weight,
            sigma=config.idm_sigma,
            margin=config.idm_margin,
            length_normalization=config.length_normalization,
        )._asdict()
        loss = parts.pop("loss")
        return {"loss": loss, **{name: value.detach().mean() for name, value in parts.items()}}

    def _encoders(self) -> tuple[PreTrainedModel, PreTrainedModel]:
        """Return what encodes the first and what encodes the second view."""
        if not self.config.frozen_teacher:
            return self.base_model, self.base_model
        teacher_first = bool(torch.rand(()) < 0.5) if self.training else True
        pair = self.teacher, self.base_model
        return pair if teacher_first else pair[::-1]

    def _frame_lengths(self, waveforms: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        if attention_mask is None:
            return None
        return frame_count(attention_mask.sum(dim=-1).to(torch.long), self.config)  # (batch,)


class LaserHubertModel(LaserModelMixin, HubertPreTrainedModel):
    """HuBERT for LASER or SCORE; `from_pretrained` of a plain HuBERT adds a fresh projection."""

    config_class = LaserHubertConfig
    config: LaserHubertConfig

    def __init__(self, config: LaserHubertConfig):
        super().__init__(config)
        self.hubert = HubertModel(config)
        self._build_head(config)
        self.post_init()


class LaserWavLMModel(LaserModelMixin, WavLMPreTrainedModel):
    """WavLM for LASER or SCORE; `from_pretrained` of a plain WavLM adds a fresh projection.

    The attention is `wavlm_attention`'s: equal to the stock one, with projections that LoRA can
    replace.
    """

    config_class = LaserWavLMConfig
    config: LaserWavLMConfig

    def __init__(self, config: LaserWavLMConfig):
        super().__init__(config)
        self.wavlm = WavLMModel(config)
        use_sdpa_attention(self.wavlm)
        self._build_head(config)
        self.post_init()
