"""What a run of LASER or SCORE is told beside the architecture."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_rspin.training.arguments import TwoViewTrainingArguments


@dataclass
class LaserTrainingArguments(TwoViewTrainingArguments):
    """`TwoViewTrainingArguments` with the optimisation and the batches of LASER and SCORE.

    Defaults that differ from the parent's: `max_steps` 3600, `learning_rate` 2e-5, `warmup_steps`
    1000, `min_learning_rate` 0, `weight_decay` 0, `adam_epsilon` 1e-7, `max_grad_norm` 1,
    `gradient_accumulation_steps` 8, `use_adam` False (AdamW), `num_trainable_layers` 2,
    `collapse_grace_steps` 20. The learning rate follows the stock linear schedule: 0 to the peak,
    and to 0 after the last update.
    """

    max_steps: int = field(
        default=3600, metadata={"help": "Number of updates; -1 counts num_train_epochs."}
    )
    learning_rate: float = field(default=2e-5, metadata={"help": "Peak of the schedule."})
    warmup_steps: float = field(
        default=1000, metadata={"help": "Updates of warm-up, or below 1 their share."}
    )
    min_learning_rate: float = field(default=0.0, metadata={"help": "Not used: it is 0."})
    weight_decay: float = field(default=0.0, metadata={"help": "Weight decay of the optimiser."})
    adam_epsilon: float = field(default=1e-7, metadata={"help": "Epsilon of AdamW."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Gradient clipping."})
    gradient_accumulation_steps: int = field(
        default=8, metadata={"help": "Batches whose gradients make one update."}
    )
    use_adam: bool = field(
        default=False, metadata={"help": "Plain Adam instead of the optimiser that `optim` names."}
    )
    num_trainable_layers: int | None = field(
        default=2,
        metadata={"help": "Top transformer layers that train; -1 for all and the front end."},
    )
    pairs_per_batch: int | None = field(
        default=1,
        metadata={
            "help": "Most pairs in a batch, per device and micro-batch; 0: as many as "
            "batch_seconds of the longer view hold."
        },
    )
    train_encoder_norm: bool = field(
        default=False,
        metadata={
            "help": "Train the encoder's LayerNorm too, as the authors' code does: in base models "
            "it lies below layer 1, so that the backward crosses all layers."
        },
    )
    lower_states_cache: str | None = field(
        default=None,
        metadata={
            "help": "Folder that keeps what the frozen layers make of the first view, for later "
            "epochs: 4 bytes x hidden size x 50 per second of speech."
        },
    )
    cache_gigabytes: float = field(
        default=100.0, metadata={"help": "Size at which the cache takes nothing more."}
    )
    collapse_grace_steps: int = field(
        default=20, metadata={"help": "Updates before the collapse monitor looks."}
    )
    collapse_cosine: float = field(
        default=0.95,
        metadata={"help": "Collapse: mean cosine of the pairs of frames above this; 1 is off."},
    )
    collapse_spread: float = field(
        default=0.01,
        metadata={"help": "Collapse: standard deviation of those below this; 0 is off."},
    )

    def __post_init__(self):
        """Check the fields this class adds, and read -1 layers and 0 pairs as no limit.

        Raises:
            ValueError: a value out of its range.
        """
        super().__post_init__()
        if self.num_trainable_layers == -1:
            self.num_trainable_layers = None
        if self.pairs_per_batch is not None and self.pairs_per_batch < 0:
            raise ValueError(
                f"pairs_per_batch is {self.pairs_per_batch}; expected at least 1, or 0 for no "
                "limit."
            )
        self.pairs_per_batch = self.pairs_per_batch or None
        if not 0 < self.collapse_cosine <= 1:
            raise ValueError(f"collapse_cosine is {self.collapse_cosine:g}; expected 0 to 1 (off).")
        if self.collapse_spread < 0 or self.cache_gigabytes <= 0:
            raise ValueError(
                f"collapse_spread is {self.collapse_spread:g} and cache_gigabytes "
                f"{self.cache_gigabytes:g}; expected at least 0 (off), and above 0."
            )
        if self.lower_states_cache and (
            self.num_trainable_layers is None or self.train_encoder_norm or self.frozen_dropout
        ):
            raise ValueError(
                "lower_states_cache needs layers that are frozen and deterministic: set "
                "num_trainable_layers, and leave train_encoder_norm and frozen_dropout out."
            )
