"""The config of MR-HuBERT, and the variants of the paper by name."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from math import gcd
from typing import Any, Self

from huggingface_hub.dataclasses import strict
from transformers import HubertConfig

FEATURE_SETS = ("default", "superb")
MAX_STRIDE = 50  # frames of 20 ms: one second
_POSITIVE = ("hidden_size", "intermediate_size", "num_attention_heads", "num_conv_pos_embeddings",
             "num_conv_pos_embedding_groups")  # fmt: skip
_SHARES = ("layerdrop", "mask_time_prob", "mask_feature_prob")
# what differs from the base model, by the names of arXiv 2310.02720, appendix B
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "B1-a": {"block_layers": (2, 4, 6)},
    "B1-b": {"block_layers": (5, 2, 5)},
    "B1-c": {"block_layers": (6, 4, 2)},
    "B2-a": {"block_layers": (3, 2, 2, 2, 3), "resolution_strides": (4, 2, 1)},
    "B2-b": {"block_layers": (2, 2, 4, 2, 2), "resolution_strides": (4, 2, 1)},
    "B2-c": {"block_layers": (2, 2, 2, 2, 2), "resolution_strides": (4, 2, 1)},
    "B3-a": {"simple_sampling": True},
    "B4-a": {"num_predictions": 1},
    "B5-a": {"resolution_strides": (1, 1)},
}


@strict
class MRHubertConfig(HubertConfig):
    """The config of a multi-resolution HuBERT (arXiv 2310.02720): HuBERT's, and its blocks.

    The transformer layers form 2 R - 1 blocks for R resolutions: down from 50 frames per second to
    the lowest, and up again. Defaults are those of the base model: 12 layers of 768 in blocks of
    4-4-4, the middle one at 25 Hz; 96.74M parameters. `do_stable_layer_norm` normalises first, as
    HuBERT's. Defaults that differ from `HubertConfig`: layerdrop 0.05, feat_proj_dropout 0.1,
    activation_dropout 0.0.

    Attributes:
        num_hidden_layers: of all blocks together; None: 12, or as `block_layers` says.
        block_layers: layers of each block, in the order they run; None: `num_hidden_layers` evenly.
        resolution_strides: for each resolution, the lowest first, how many frames of 20 ms one of
            its frames stands for; (2, 1) is 25 and 50 Hz. Equal ones: blocks without downsampling.
        simple_sampling: one convolution between two resolutions instead of a sampling module.
        num_predictions: at how many resolutions pre-training predicts: 1, the highest only, or
            None: all of them (the low ones are the auxiliary loss).
        masked_group_norm: norms over time leave padding out, so that a padded utterance gives what
            it gives alone; False: as the public code; see `MRHubertModel` for what that changes.
        feature_set: what `hidden_states` are: default or superb; see `MRHubertModel`.

    Example:
        >>> MRHubertConfig.variant("B2-a").block_layers
        (3, 2, 2, 2, 3)

    Raises:
        ValueError: blocks, resolutions or predictions that do not fit each other, in one sentence.
    """

    model_type = "mr-hubert"

    num_hidden_layers: int | None = None
    activation_dropout: float | int = 0.0
    feat_proj_dropout: float | int = 0.1
    layerdrop: float | int = 0.05
    block_layers: list[int] | tuple[int, ...] | None = None
    resolution_strides: list[int] | tuple[int, ...] = (2, 1)
    simple_sampling: bool = False
    num_predictions: int | None = None
    masked_group_norm: bool = True
    feature_set: str = "default"

    def __post_init__(self, **kwargs: Any) -> None:
        self.resolution_strides = tuple(self.resolution_strides)
        if self.num_predictions is None:
            self.num_predictions = len(self.resolution_strides)
        if self.block_layers is not None:
            self.block_layers = tuple(self.block_layers)
            if self.num_hidden_layers is None:
                self.num_hidden_layers = sum(self.block_layers)
        else:
            if self.num_hidden_layers is None:
                self.num_hidden_layers = 12
            self.block_layers = _even_split(self.num_hidden_layers, self.num_blocks)
        super().__post_init__(**kwargs)

    @classmethod
    def variant(cls, name: str, **changes: Any) -> Self:
        """Return the config of a model of the paper: base, B1-a to B1-c, B2-a to B2-c, ..., B5-a.

        Args:
            name: a key of `VARIANTS`.
            **changes: fields to change, such as the sizes of a small model.

        Raises:
            ValueError: no such variant.
        """
        if name not in VARIANTS:
            raise ValueError(f"got variant {name!r}; expected one of {', '.join(VARIANTS)}.")
        return cls(**(VARIANTS[name] | changes))

    @property
    def num_blocks(self) -> int:
        """Number of blocks of layers: one at the lowest resolution, two at each other."""
        return 2 * len(self.resolution_strides) - 1

    @property
    def block_strides(self) -> tuple[int, ...]:
        """Frames of 20 ms for one frame of each block, in the order they run; (1, 2, 1)."""
        return (*self.resolution_strides[::-1], *self.resolution_strides[1:])

    @property
    def sampling_ratios(self) -> tuple[tuple[int, int], ...]:
        """How often frames are repeated and then thinned out before each block but the first.

        The pair for block i + 1 is at index i: ((1, 2), (2, 1)) for 50, 25 and 50 Hz.
        """
        pairs = zip(self.block_strides, self.block_strides[1:], strict=False)
        return tuple((a // gcd(a, b), b // gcd(a, b)) for a, b in pairs)

    @property
    def num_hidden_states(self) -> int:
        """Entries of `hidden_states`, by the feature set."""
        return self.num_hidden_layers + (self.num_blocks if self.feature_set == "superb" else 1)

    def validate_ranges(self) -> None:
        """Refuse sizes and probabilities that there are not; called when a config is made."""
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
        for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, name):
                raise ValueError(
                    f"hidden_size is {self.hidden_size} and {name} {getattr(self, name)}; "
                    "expected a divisor of it."
                )
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 to 1.")

    def validate_blocks(self) -> None:
        """Refuse blocks that cannot be built; called when a config is made."""
        self.validate_resolutions()  # which say how many blocks there are
        layers = list(self.block_layers)
        if len(layers) != self.num_blocks or min(layers) < 1:
            raise ValueError(
                f"block_layers are {layers}; expected {self.num_blocks} blocks of at least one "
                f"layer for {len(self.resolution_strides)} resolutions: down, lowest, and up."
            )
        if sum(layers) != self.num_hidden_layers:
            raise ValueError(
                f"num_hidden_layers is {self.num_hidden_layers}, but block_layers {layers} have "
                f"{sum(layers)}; expected one to follow from the other: leave one of them out."
            )

    def validate_resolutions(self) -> None:
        """Refuse resolutions that cannot be built; called when a config is made."""
        strides = list(self.resolution_strides)
        falling = all(a >= b for a, b in zip(strides, strides[1:], strict=False))
        if len(strides) < 2 or strides[-1] != 1 or not falling:
            raise ValueError(
                f"resolution_strides are {strides}; expected at least two whole numbers that fall "
                "to 1, the lowest resolution first, such as (2, 1): a HuBERT has one resolution."
            )
        if strides[0] > MAX_STRIDE:
            raise ValueError(
                f"resolution_strides are {strides}; expected at most {MAX_STRIDE} frames of 20 ms "
                "(one second)."
            )
        if self.simple_sampling and any(min(pair) > 1 for pair in self.sampling_ratios):
            raise ValueError(
                f"resolution_strides are {strides}, where one is no multiple of the next; "
                "expected multiples with simple_sampling."
            )

    def validate_outputs(self) -> None:
        """Refuse predictions and features that there are not; called when a config is made."""
        count = len(self.resolution_strides)
        if isinstance(self.num_predictions, bool) or self.num_predictions not in (1, count):
            raise ValueError(
                f"num_predictions is {self.num_predictions}; expected 1 (the highest resolution "
                f"only) or {count} (all of them)."
            )
        if self.feature_set not in FEATURE_SETS:
            raise ValueError(
                f"feature_set is {self.feature_set!r}; expected one of {', '.join(FEATURE_SETS)}."
            )


def _even_split(layers: int, blocks: int) -> tuple[int, ...]:
    """Return the layers of each block: as even as possible, the lowest resolution first served.

    Blocks in the middle take what is left over: 14 layers in 3 blocks are 5-5-4 from there.
    """
    sizes = [layers // blocks] * blocks
    middle = blocks // 2
    for index in sorted(range(blocks), key=lambda i: abs(i - middle))[: layers % blocks]:
        sizes[index] += 1
    return tuple(sizes)
