"""Any encoder for LASER (arXiv 2406.09153), and for SCORE with a frozen teacher."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from hf_rspin.losses.distributed import rank, world_size
from hf_rspin.losses.frame_similarity import pairwise_cosine
from hf_rspin.models.encoder import family_of, num_valid_frames
from hf_rspin.models.heads import LaserHead, SpinProjection
from hf_rspin.models.laser_fields import LaserFields
from hf_rspin.models.laser_parts import laser_parts
from hf_rspin.models.lower_layers import EncoderInTwoParts
from hf_rspin.models.view_encoding import check_waveforms


@dataclass
class LaserOutput(ModelOutput):
    """What a forward returns; frames at 50 Hz, scalars are means over the pairs of the batch.

    Attributes:
        loss: divergence + idm_weight * (idm_clean + idm_perturbed); two views only.
        last_hidden_state: (batch, frames, hidden), of the first view; of the teacher where it
            encoded that view.
        hidden_states: as the plain encoder returns them, when asked for; one view only.
        attentions: likewise.
        projections: (batch, frames, dim) unit vectors of the first view; no gradient with two.
        soft_dtw_divergence: over the frames of both views where the config says so.
        frame_distance: instead of that divergence, where the config aligns frames.
        idm_clean, idm_perturbed: Contrastive-IDM of each view, before it is weighted.
        frame_cosine: mean cosine of all pairs of frames of a view; near 1 in collapse.
        frame_cosine_spread: standard deviation of those cosines.
    """

    loss: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    projections: Tensor | None = None
    soft_dtw_divergence: Tensor | None = None
    idm_clean: Tensor | None = None
    idm_perturbed: Tensor | None = None
    frame_cosine: Tensor | None = None
    frame_cosine_spread: Tensor | None = None
    frame_distance: Tensor | None = None


class LaserModel(EncoderInTwoParts):
    """Any encoder with the projection of LASER or SCORE; a plain encoder's gets a fresh one.

    LASER sends both views through the encoder. SCORE (`config.frozen_teacher`) sends one of them
    through a frozen teacher: in training a coin decides for the batch which, another on every
    rank, in eval mode it is the first. The coins are torch's, so that a resumed run sees the same.

    Example:
        >>> model = LaserModel.from_pretrained(encoder_folder())
        >>> faster = waveform[:, :14000]  # (batch, samples) at 16 kHz each
        >>> model(waveform, perturbed_input_values=faster).loss.shape
        torch.Size([])

    Args:
        config: of any encoder of `encoder.FAMILIES`, with the fields of `LaserFields` or without.
    """

    _travels = True
    fields = LaserFields
    head_names = ("laser_head.",)

    def _build_heads(self, config: PreTrainedConfig) -> None:
        self.laser_head = LaserHead(
            config.hidden_size, config.projection_size, config.projection_layers
        )

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
        check_waveforms(input_values, attention_mask, self.config, self.dtype)
        if perturbed_input_values is None:
            if lower_states is not None:
                raise ValueError("got lower_states with one view only; leave them out.")
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
            check_waveforms(
                perturbed_input_values, perturbed_attention_mask, self.config, self.dtype
            )
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
        parts = laser_parts(self.config, projections, lengths)
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

    def _encoders(self) -> tuple[PreTrainedModel, PreTrainedModel]:
        """Return what encodes the first and what encodes the second view."""
        if not self.config.frozen_teacher:
            return self.base_model, self.base_model
        # every rank draws the coins of all, so that their generators stay alike
        teacher_first = bool(torch.rand(world_size())[rank()] < 0.5) if self.training else True
        pair = self.teacher, self.base_model
        return pair if teacher_first else pair[::-1]

    def _frame_lengths(self, waveforms: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Return the number of valid frames of each utterance, (batch,); None: all are."""
        if attention_mask is not None:
            samples = attention_mask.sum(dim=-1).to(torch.long)
            return num_valid_frames(samples, self.config)
        if family_of(self.config).squeezes:
            samples = torch.full((len(waveforms),), waveforms.shape[1], device=waveforms.device)
            return num_valid_frames(samples, self.config)
        return None
