"""LASER's loss with the constants of a config, by the names that are logged."""

from __future__ import annotations

from torch import Tensor

from hf_rspin.losses.laser import laser_loss
from hf_rspin.models.laser_fields import LaserFields


def laser_parts(
    config: LaserFields, projections: list[Tensor], lengths: list[Tensor | None]
) -> dict[str, Tensor]:
    """Return the loss of two views and its parts, which carry no gradient.

    Args:
        config: with the constants of the loss.
        projections: (batch, frames, dim) unit vectors of each view.
        lengths: (batch,) valid frames of each view; None if all are.

    Raises:
        ValueError: see `laser_loss`.
    """
    parts = laser_loss(
        *projections,
        *lengths,
        gamma=config.soft_dtw_gamma,
        alpha=config.idm_weight,
        sigma=config.idm_sigma,
        margin=config.idm_margin,
        length_normalization=config.length_normalization,
        alignment=config.alignment,
    )
    name = "soft_dtw_divergence" if config.alignment == "soft_dtw" else "frame_distance"
    named = {name: parts.soft_dtw_divergence, "idm_clean": parts.idm_clean}
    named["idm_perturbed"] = parts.idm_perturbed
    return {"loss": parts.loss, **{key: value.detach().mean() for key, value in named.items()}}
