"""Configurations of Spin and R-Spin models: a speech encoder's config and the heads' fields.

`model_type` stays that of the encoder, so that the same folder loads as a plain encoder.
"""

# no postponed annotations here: @strict checks types, and cannot read them from strings
import math

from huggingface_hub.dataclasses import strict
from transformers import HubertConfig, WavLMConfig

from .configuration_heads import HeadsConfigMixin


class RSpinConfigMixin(HeadsConfigMixin):
    """The fields of the Spin and auxiliary heads, and the rules they obey.

    Attributes:
        projection_size: dimension of the normalised projections and of the codes.
        codebook_size: number of codes K.
        num_pseudo_labels: outputs of the auxiliary head; None for plain Spin, without that head.
        spin_layer: index into `hidden_states` of the layer the projection reads; -1 or
            `num_hidden_layers` is the encoder's output `last_hidden_state`.
        auxiliary_layer: the same for the auxiliary head.
        spin_loss_weight: weight of Equation 1; 0 switches it off.
        auxiliary_loss_weight: lambda of Equation 3; 0 switches it off.
        temperature: divides the cosines of the prediction.
        sinkhorn_epsilon: entropy weight of the targets.
        sinkhorn_iterations: iterations of the targets.
    """

    head_field = "codebook_size"

    def validate_rspin(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        for name in ("projection_size", "codebook_size", "sinkhorn_iterations"):
            _check_count(name, getattr(self, name))
        _check_count("num_pseudo_labels", self.num_pseudo_labels, optional=True)
        for name in ("temperature", "sinkhorn_epsilon"):
            _check_number(name, getattr(self, name), allow_zero=False)
        for name in ("spin_loss_weight", "auxiliary_loss_weight"):
            _check_number(name, getattr(self, name), allow_zero=True)
        if self.codebook_size < 2:
            raise ValueError(f"codebook_size is {self.codebook_size}; expected at least 2 codes.")
        for name in ("spin_layer", "auxiliary_layer"):
            self._check_layer(name, getattr(self, name))

    def _check_layer(self, name: str, layer: int) -> None:
        count = self.num_hidden_layers
        if isinstance(layer, bool) or not -(count + 1) <= layer <= count:
            raise ValueError(
                f"{name} is {layer}; expected an index into the {count + 1} hidden states of this "
                f"encoder: 0 (encoder input) to {count} (last layer), or -1 for the last."
            )
        if self.layerdrop > 0 and layer not in (-1, count):
            raise ValueError(
                f"{name} is {layer} and layerdrop is {self.layerdrop}: dropped layers have no "
                "hidden state to read; set layerdrop=0 or read the last layer."
            )


def _check_count(name: str, value: int | None, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or value < 1:
        wanted = "a positive integer" + (", or None for no auxiliary head" if optional else "")
        raise ValueError(f"{name} is {value}; expected {wanted}.")


def _check_number(name: str, value: float, allow_zero: bool) -> None:
    too_small = value < 0 or (value == 0 and not allow_zero)
    if isinstance(value, bool) or not math.isfinite(value) or too_small:
        wanted = "a finite number of at least 0" if allow_zero else "a positive, finite number"
        raise ValueError(f"{name} is {value}; expected {wanted}.")


@strict
class RSpinHubertConfig(RSpinConfigMixin, HubertConfig):
    """HuBERT with Spin heads; see `RSpinConfigMixin` for the fields.

    Defaults that differ from `HubertConfig`: layerdrop 0 (0.1), apply_spec_augment False (True),
    activation_dropout 0 (0.1), feat_proj_dropout 0.1 (0).
    """

    model_type = "hubert"

    feat_proj_dropout: float | int = 0.1
    activation_dropout: float | int = 0.0
    layerdrop: float | int = 0.0
    apply_spec_augment: bool = False
    projection_size: int = 256
    codebook_size: int = 32
    num_pseudo_labels: int | None = None
    spin_layer: int = -1
    auxiliary_layer: int = -1
    spin_loss_weight: float | int = 1.0
    auxiliary_loss_weight: float | int = 5.0
    temperature: float | int = 0.1
    sinkhorn_epsilon: float | int = 0.02
    sinkhorn_iterations: int = 3


@strict
class RSpinWavLMConfig(RSpinConfigMixin, WavLMConfig):
    """WavLM with Spin heads; see `RSpinConfigMixin` for the fields.

    Defaults that differ from `WavLMConfig`: layerdrop 0 (0.1), apply_spec_augment False (True),
    activation_dropout 0 (0.1), feat_proj_dropout 0.1 (0).
    """

    model_type = "wavlm"

    feat_proj_dropout: float | int = 0.1
    activation_dropout: float | int = 0.0
    layerdrop: float | int = 0.0
    apply_spec_augment: bool = False
    projection_size: int = 256
    codebook_size: int = 32
    num_pseudo_labels: int | None = None
    spin_layer: int = -1
    auxiliary_layer: int = -1
    spin_loss_weight: float | int = 1.0
    auxiliary_loss_weight: float | int = 5.0
    temperature: float | int = 0.1
    sinkhorn_epsilon: float | int = 0.02
    sinkhorn_iterations: int = 3

    def validate_adapter(self) -> None:
        """Refuse the layers that wav2vec 2.0 may put on top for another frame rate."""
        if self.add_adapter:
            raise ValueError("add_adapter is True; expected False: adapters change the frame rate.")
