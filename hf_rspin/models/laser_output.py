"""What LASER and SCORE models return."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


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
