"""The fields that Spin and R-Spin add to the config of an encoder."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from dataclasses import dataclass
from typing import ClassVar

from hf_rspin.models.configuration import HeadFields, check_count, check_number


@dataclass(kw_only=True)
class SpinFields(HeadFields):
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
        auxiliary_codebook_size: codes of a second codebook, which trains beside the first by the
            same loss with a projection of its own, as in DC-Spin (arXiv 2410.24177: 50 to 500 and
            4096 codes); units are read from the first. None: there is no second.
        auxiliary_codebook_weight: of its loss, beside that of the first; 0 switches it off.
        variance_weight: of `variance_loss` of the hidden states that the projection reads, as are
            the next two; 0 switches each off. VICReg's code has 12.5, 25 and 1 of these.
        invariance_weight: of `invariance_loss`.
        covariance_weight: of `covariance_loss`.
    """

    head_field: ClassVar[str] = "codebook_size"
    prefix: ClassVar[str] = "RSpin"

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
    auxiliary_codebook_size: int | None = None
    auxiliary_codebook_weight: float | int = 1.0
    variance_weight: float | int = 0.0
    invariance_weight: float | int = 0.0
    covariance_weight: float | int = 0.0

    @property
    def objective(self) -> str:
        """Name of the method: Spin without pseudo-labels, else R-Spin."""
        return "Spin" if self.num_pseudo_labels is None else "R-Spin"

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weights of the losses that are on, by the name of each in the model's output."""
        weights = {
            "spin_loss": self.spin_loss_weight,
            "auxiliary_codebook_loss": self.auxiliary_codebook_weight,
            "variance": self.variance_weight,
            "invariance": self.invariance_weight,
            "covariance": self.covariance_weight,
            "auxiliary_loss": self.auxiliary_loss_weight,
        }
        if self.auxiliary_codebook_size is None:
            del weights["auxiliary_codebook_loss"]
        if self.num_pseudo_labels is None:
            del weights["auxiliary_loss"]
        return {name: weight for name, weight in weights.items() if weight > 0}

    def validate_rspin(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        for name in ("projection_size", "codebook_size", "sinkhorn_iterations"):
            check_count(name, getattr(self, name))
        check_count("num_pseudo_labels", self.num_pseudo_labels, optional=True)
        for name in ("temperature", "sinkhorn_epsilon"):
            check_number(name, getattr(self, name), allow_zero=False)
        for name in ("spin_loss_weight", "auxiliary_loss_weight", "auxiliary_codebook_weight",
                     "variance_weight", "invariance_weight", "covariance_weight"):  # fmt: skip
            check_number(name, getattr(self, name), allow_zero=True)
        for name in ("codebook_size", "auxiliary_codebook_size"):
            size = getattr(self, name)
            if size is not None and size < 2:
                raise ValueError(f"{name} is {size}; expected at least 2 codes.")
        for name in ("spin_layer", "auxiliary_layer"):
            self._check_layer(name, getattr(self, name))

    def _check_layer(self, name: str, layer: int) -> None:
        count = self.num_hidden_layers
        if isinstance(layer, bool) or not -(count + 1) <= layer <= count:
            raise ValueError(
                f"{name} is {layer}; expected an index into the {count + 1} hidden states of this "
                f"encoder: 0 (encoder input) to {count} (last layer), or -1 for the last."
            )
        if getattr(self, "layerdrop", 0) > 0 and layer not in (-1, count):
            raise ValueError(
                f"{name} is {layer} and layerdrop is {self.layerdrop}: dropped layers have no "
                "hidden state to read; set layerdrop=0 or read the last layer."
            )
