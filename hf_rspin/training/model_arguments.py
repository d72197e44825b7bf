"""What a run is told about its model: the encoder, its heads, and the weights of its losses.

Only the standard library is imported here, so that `--help` starts fast; `build` imports what it
needs.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.utils import option

if TYPE_CHECKING:
    from transformers import PreTrainedModel


METHODS = ("laser", "score")


@dataclass
class EncoderArguments:
    """Which encoder, and any field of its config."""

    encoder: str = option("", "folder or Hub id of an encoder, or bundled")
    encoder_config: dict | str | None = option(
        None, "other config fields (dropout, ...), mapping or JSON"
    )

    def __post_init__(self) -> None:
        given = self.encoder_config
        if isinstance(given, str):
            with contextlib.suppress(json.JSONDecodeError):
                self.encoder_config = json.loads(given)
        if self.encoder_config is not None and not isinstance(self.encoder_config, dict):
            raise ValueError(
                f"encoder_config is {given!r}; expected a mapping in YAML, or on the command line "
                "in JSON such as '{\"hidden_dropout\": 0.0}'."
            )

    def changes(self, without: tuple[str, ...] = ()) -> dict:
        """Return the config fields that were given, those of `encoder_config` among them."""
        changes = dict(self.encoder_config or {})
        for name in (f.name for f in fields(self)):
            if name in ("encoder", "encoder_config", *without):
                continue
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return changes


@dataclass
class ModelArguments(EncoderArguments):
    """Which encoder, and its heads; what is not given keeps the config's value."""

    projection_size: int | None = option(None, "size of projections", rare=True)
    codebook_size: int | None = option(None, "number of codes")
    spin_layer: int | None = option(None, "hidden state of the Spin head")
    auxiliary_layer: int | None = option(None, "hidden state of the auxiliary head")
    spin_loss_weight: float | None = option(None, "0 switches it off")
    auxiliary_loss_weight: float | None = option(None, "lambda of Eq. 3")
    temperature: float | None = option(None, "temperature of codes", rare=True)
    auxiliary_codebook_size: int | None = option(
        None, "codes of a second, larger codebook (DC-Spin: 4096); units are of the first"
    )
    auxiliary_codebook_weight: float | None = option(None, "weight of its loss")
    variance_weight: float | None = option(
        None, "of the variance term of VICReg (its code: 12.5)", rare=True
    )
    invariance_weight: float | None = option(
        None, "of the invariance term (its code: 25)", rare=True
    )
    covariance_weight: float | None = option(
        None, "of the covariance term (its code: 1)", rare=True
    )

    def build(self, num_pseudo_labels: int | None = None) -> PreTrainedModel:
        """Load the encoder with heads, in float32; fresh heads where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        changes = self.changes()
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        return self._load(changes)

    def _load(self, changes: dict) -> PreTrainedModel:
        from hf_rspin.training.builders import build_rspin

        return build_rspin(self.encoder, changes)


@dataclass
class AlignmentArguments:
    """The loss of LASER; what is not given keeps the config's value."""

    soft_dtw_gamma: float | None = option(None, "smoothing of soft-DTW")
    idm_weight: float | None = option(None, "alpha of the regulariser; 0 switches it off")
    idm_margin: float | None = option(None, "margin of the regulariser")
    idm_sigma: int | None = option(None, "frames that attract")
    length_normalization: bool | None = option(
        None, "divide the divergence by the frames of both views"
    )
    alignment: str | None = option(None, "soft_dtw, or frames: one by one, without other speeds")


@dataclass
class RSpinLaserModelArguments(AlignmentArguments, ModelArguments):
    """Which encoder, and its heads; what is not given keeps the config's value."""

    laser_weight: float | None = option(None, "weight of LASER's loss beside R-Spin's")

    def _load(self, changes: dict) -> PreTrainedModel:
        from hf_rspin.models import RSpinLaserModel
        from hf_rspin.training.builders import build_model

        return build_model(self.encoder, RSpinLaserModel, lambda model_type: changes)


@dataclass
class RSpinArguments:
    """What R-Spin adds to Spin."""

    pseudo_labels: str | None = option(
        None, "folder of `hf-rspin labels`; none: no auxiliary loss (plain Spin)"
    )
    without_noise: bool = option(False, "both views stay clean, on purpose (an ablation)")

    def __post_init__(self) -> None:
        self.pseudo_labels = split_name(self.pseudo_labels)


@dataclass
class LaserModelArguments(AlignmentArguments, EncoderArguments):
    """Which encoder and method; what is not given keeps the value of the method."""

    method: str = option("laser", "laser, or score (a frozen teacher)")
    projection_size: int | None = option(None, "size of projections", rare=True)
    projection_layers: int | None = option(None, "linear layers: 1 or 2")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; expected laser or score.")

    def build(self) -> PreTrainedModel:
        """Load the encoder with a projection, in float32; a fresh one where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        from hf_rspin.training.builders import build_laser

        return build_laser(self.encoder, self.method, self.changes(without=("method",)))
