"""Any encoder for R-Spin and LASER at once: the codes of frames, and their order in time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedConfig

from hf_rspin.models.heads import LaserHead
from hf_rspin.models.laser_parts import laser_parts
from hf_rspin.models.modeling_spin import RSpinModel, RSpinOutput, ValidFrames
from hf_rspin.models.rspin_laser_fields import RSpinLaserFields
from hf_rspin.models.view_encoding import EncoderOutput


@dataclass
class RSpinLaserOutput(RSpinOutput):
    """What a forward returns: that of `RSpinModel`, and the parts of LASER; None where it is off.

    Attributes:
        laser_loss: soft_dtw_divergence + idm_weight * (idm_clean + idm_perturbed), the mean over
            the pairs of all ranks.
        soft_dtw_divergence, idm_clean, idm_perturbed: means over the pairs of the batch.
        frame_distance: instead of that divergence, where the config aligns frames.
    """

    laser_loss: Tensor | None = None
    soft_dtw_divergence: Tensor | None = None
    idm_clean: Tensor | None = None
    idm_perturbed: Tensor | None = None
    frame_distance: Tensor | None = None


class RSpinLaserModel(RSpinModel):
    """Any encoder with the heads of R-Spin and LASER; a plain encoder's folder gets fresh ones.

    Loss: R-Spin's (Equation 3) + `laser_weight` * LASER's, on the two views of R-Spin, which are of
    equal length: the second has another voice and channel, and both have noise. soft-DTW may align
    frame t with a neighbour, where R-Spin compares frame t with frame t; Contrastive-IDM keeps
    frames far in time apart. LASER's change of speed would need a third view, and is left out.
    LASER reads the encoder's output through a projection of its own.

    Example:
        >>> model = RSpinLaserModel.from_pretrained(encoder_folder(), laser_weight=0.01)
        >>> perturbed = waveform + 0.1 * torch.randn_like(waveform)  # (batch, samples)
        >>> model(waveform, perturbed_input_values=perturbed).laser_loss.shape
        torch.Size([])

    Args:
        config: of any encoder of `encoder.FAMILIES`, with the fields of `RSpinLaserFields`.
    """

    _travels = True
    fields = RSpinLaserFields
    head_names = (*RSpinModel.head_names, "laser_head.")
    output_class = RSpinLaserOutput

    def _build_heads(self, config: PreTrainedConfig) -> None:
        super()._build_heads(config)
        self.laser_head = LaserHead(
            config.hidden_size, config.projection_size, config.projection_layers
        )

    def release_unused_parameters(self) -> None:
        """Ask no gradient of what takes no part in the loss, which DDP would wait for."""
        if "laser_loss" not in self.config.loss_weights:
            self.laser_head.requires_grad_(False)
        super().release_unused_parameters()

    def highest_layer_read(self) -> int:
        """Return the number of layers below the highest input of a loss that is on."""
        if "laser_loss" in self.config.loss_weights:
            return self.config.num_hidden_layers
        return super().highest_layer_read()

    def _parts(
        self,
        clean: EncoderOutput,
        perturbed: EncoderOutput,
        labels: Tensor | None,
        frames: ValidFrames,
    ) -> dict[str, Tensor]:
        fields, config = super()._parts(clean, perturbed, labels, frames), self.config
        if "laser_loss" not in config.loss_weights:
            return fields
        views = [self.laser_head(view.last_hidden_state) for view in (clean, perturbed)]
        parts = laser_parts(config, views, [frames.counts, frames.counts])
        return {**fields, "laser_loss": parts.pop("loss"), **parts}
