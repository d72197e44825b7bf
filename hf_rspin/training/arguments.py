"""What a run of R-Spin is told beside the architecture."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments


@dataclass
class TwoViewTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the paper's optimisation and batches by duration.

    Defaults that differ from the parent's: `max_steps` 10000, `learning_rate` 1e-4,
    `warmup_steps` 0.4 (a ratio: 4000 of 10000), `weight_decay` 1e-6, `max_grad_norm` 10,
    `logging_steps` 50, `save_total_limit` 2, `logging_nan_inf_filter` and
    `remove_unused_columns` False. `per_device_train_batch_size` is not used: a batch is
    `batch_seconds` long. Set `max_steps=-1` to count `num_train_epochs` instead.
    """

    max_steps: int = field(
        default=10_000, metadata={"help": "Number of updates; -1 counts num_train_epochs."}
    )
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak of the schedule."})
    warmup_steps: float = field(
        default=0.4, metadata={"help": "Updates of warm-up, or below 1 their share."}
    )
    weight_decay: float = field(default=1e-6, metadata={"help": "Weight decay of the optimiser."})
    max_grad_norm: float = field(default=10.0, metadata={"help": "Gradient clipping."})
    logging_steps: float = field(default=50, metadata={"help": "Updates between two logs."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Hide NaN losses from the logs; better not."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "Not used."})

    batch_seconds: float = field(
        default=256.0,
        metadata={"help": "Most seconds of one view in one batch, per device and micro-batch."},
    )
    min_learning_rate: float = field(
        default=1e-6, metadata={"help": "Learning rate of the first and of the last update."}
    )
    use_adam: bool = field(
        default=True,
        metadata={
            "help": "Plain Adam, its weight decay added to the gradient of every parameter, as "
            "the authors; False takes the optimiser that `optim` names."
        },
    )
    num_trainable_layers: int | None = field(
        default=None,
        metadata={
            "help": "Top transformer layers that train (Spin: 2); all and the front end "
            "when left out (R-Spin)."
        },
    )
    frozen_dropout: bool = field(
        default=False,
        metadata={
            "help": "Keep dropout active in the frozen lower layers, as the authors' Spin code "
            "does; here they run without it, which is cheaper and deterministic. Says nothing "
            "where everything trains (R-Spin)."
        },
    )
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Start anew in an output folder that holds a run."}
    )
    collapse_of_peak: float = field(
        default=0.5,
        metadata={"help": "Collapse: code perplexity under this share of its peak so far."},
    )
    collapse_of_codebook: float = field(
        default=0.1,
        metadata={"help": "Collapse: code perplexity under this share of the codebook size."},
    )
    collapse_grace_steps: int = field(
        default=100, metadata={"help": "Updates before the collapse monitor looks."}
    )
    stop_on_collapse: bool = field(
        default=False, metadata={"help": "Stop the run on collapse instead of only warning."}
    )

    def __post_init__(self):
        """Check the fields this class adds.

        Raises:
            ValueError: a value out of its range.
        """
        super().__post_init__()
        if self.max_steps == 0:
            raise ValueError("max_steps is 0; expected updates, or -1 to count num_train_epochs.")
        if not self.batch_seconds > 0:
            raise ValueError(f"batch_seconds is {self.batch_seconds:g}; it must be above 0.")
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            raise ValueError(
                f"min_learning_rate is {self.min_learning_rate:g}; expected 0 to learning_rate "
                f"({self.learning_rate:g})."
            )
        for name in ("collapse_of_peak", "collapse_of_codebook"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 (off) to below 1.")
