"""Options of optimisation, batches and checks, by objective: without `transformers`, for `--help`.

`training_arguments` joins each of these classes with `transformers.TrainingArguments`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.utils import option


@dataclass
class SpeechOptions:
    """What every objective is told beside `TrainingArguments`; a batch is `batch_seconds` long."""

    max_steps: int = option(10_000, "Number of updates; -1 counts num_train_epochs.")
    logging_steps: float = option(50, "Updates between two logs.")
    save_total_limit: int | None = option(2, "Checkpoints kept.", rare=True)
    logging_nan_inf_filter: bool = option(
        False, "Hide NaN losses from the logs; better not.", rare=True
    )
    remove_unused_columns: bool = option(False, "Not used.", rare=True)
    batch_seconds: float = option(
        160.0, "Most seconds of speech in one batch, per device and micro-batch."
    )
    overwrite_output_dir: bool = option(False, "Start anew in an output folder that holds a run.")

    def __post_init__(self):
        """Check the fields of this class.

        Raises:
            ValueError: a value out of its range.
        """
        super().__post_init__()
        if self.max_steps == 0:
            raise ValueError("max_steps is 0; expected updates, or -1 to count num_train_epochs.")
        if not self.batch_seconds > 0:
            raise ValueError(f"batch_seconds is {self.batch_seconds:g}; it must be above 0.")


@dataclass
class TwoViewOptions(SpeechOptions):
    """The paper's optimisation of Spin and R-Spin (R-Spin, section 3.2)."""

    learning_rate: float = option(1e-4, "Peak of the schedule.")
    warmup_steps: float = option(0.4, "Updates of warm-up, or below 1 their share.")
    weight_decay: float = option(1e-6, "Weight decay of the optimiser.")
    max_grad_norm: float = option(10.0, "Gradient clipping.")
    batch_seconds: float = option(
        256.0, "Most seconds of one view in one batch, per device and micro-batch."
    )
    min_learning_rate: float = option(1e-6, "Learning rate of the first and of the last update.")
    head_learning_rate: float | None = option(
        None,
        "Peak of the heads, without warm-up: fresh heads that learn before the encoder moves cost "
        "it less of what it knows; left out: that of everything.",
    )
    use_adam: bool = option(
        True,
        "Plain Adam, its weight decay added to the gradient of every parameter, as the authors; "
        "False takes the optimiser that `optim` names.",
    )
    num_trainable_layers: int | None = option(
        None,
        "Top transformer layers that train (Spin: 2); all and the front end when left out "
        "(R-Spin).",
    )
    frozen_dropout: bool = option(
        False,
        "Keep dropout active in the frozen lower layers, as the authors' Spin code does; here "
        "they run without it, which is cheaper and deterministic. Says nothing where everything "
        "trains (R-Spin).",
        rare=True,
    )
    collapse_of_peak: float = option(
        0.5, "Collapse: code perplexity under this share of its peak so far.", rare=True
    )
    collapse_of_codebook: float = option(
        0.1, "Collapse: code perplexity under this share of the codebook size.", rare=True
    )
    collapse_grace_steps: int = option(100, "Updates before the collapse monitor looks.", rare=True)
    stop_on_collapse: bool = option(False, "Stop the run on collapse instead of only warning.")

    def __post_init__(self):
        """Check the fields of this class.

        Raises:
            ValueError: a value out of its range.
        """
        super().__post_init__()
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            raise ValueError(
                f"min_learning_rate is {self.min_learning_rate:g}; expected 0 to learning_rate "
                f"({self.learning_rate:g})."
            )
        if self.head_learning_rate is not None and not (
            self.head_learning_rate >= max(self.min_learning_rate, 1e-12) and self.use_adam
        ):
            raise ValueError(
                f"head_learning_rate is {self.head_learning_rate:g}; expected min_learning_rate "
                f"({self.min_learning_rate:g}) or more, with use_adam."
            )
        for name in ("collapse_of_peak", "collapse_of_codebook"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 (off) to below 1.")


@dataclass
class LaserOptions(TwoViewOptions):
    """The optimisation and the batches of LASER and SCORE; AdamW, linear from 0 and to 0."""

    max_steps: int = option(3600, "Number of updates; -1 counts num_train_epochs.")
    learning_rate: float = option(2e-5, "Peak of the schedule.")
    warmup_steps: float = option(1000, "Updates of warm-up, or below 1 their share.")
    min_learning_rate: float = option(0.0, "Not used: it is 0.")
    weight_decay: float = option(0.0, "Weight decay of the optimiser.")
    adam_epsilon: float = option(1e-7, "Epsilon of AdamW.")
    max_grad_norm: float = option(1.0, "Gradient clipping.")
    gradient_accumulation_steps: int = option(8, "Batches whose gradients make one update.")
    use_adam: bool = option(False, "Plain Adam instead of the optimiser that `optim` names.")
    num_trainable_layers: int | None = option(
        2, "Top transformer layers that train; -1 for all and the front end."
    )
    pairs_per_batch: int | None = option(
        1,
        "Most pairs in a batch, per device and micro-batch; 0: as many as batch_seconds of the "
        "longer view hold.",
    )
    train_encoder_norm: bool = option(
        False,
        "Train the encoder's LayerNorm too, as the authors' code does: in base models it lies "
        "below layer 1, so that the backward crosses all layers.",
    )
    lower_states_cache: str | None = option(
        None,
        "Folder that keeps what the frozen layers make of the first view, for later epochs: 4 "
        "bytes x hidden size x 50 per second of speech.",
    )
    cache_gigabytes: float = option(100.0, "Size at which the cache takes nothing more.")
    collapse_grace_steps: int = option(20, "Updates before the collapse monitor looks.", rare=True)
    collapse_cosine: float = option(
        0.95, "Collapse: mean cosine of the pairs of frames above this; 1 is off."
    )
    collapse_spread: float = option(
        0.01, "Collapse: standard deviation of those below this; 0 is off."
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


@dataclass
class MaskedPredictionOptions(SpeechOptions):
    """The stock optimisation; what differs stands in the configs."""

    max_steps: int = option(-1, "Number of updates; must be given.")
    logging_steps: float = option(500, "Updates between two logs.")
    save_total_limit: int | None = option(None, "Checkpoints kept.", rare=True)
    batch_seconds: float = option(72.0, "audio per update")


@dataclass
class DistillationOptions(SpeechOptions):
    """The optimisation of DistilHuBERT: AdamW, warm-up of 7 %, linear to 0."""

    max_steps: int = option(200_000, "Number of updates.")
    learning_rate: float = option(2e-4, "Peak of the schedule.")
    warmup_steps: float = option(0.07, "Updates of warm-up, or below 1 their share.")
    adam_beta2: float = option(0.98, "Second beta of AdamW.")
    adam_epsilon: float = option(1e-6, "Epsilon of AdamW.")
    weight_decay: float = option(1e-6, "Weight decay of AdamW.")
    max_grad_norm: float = option(5.0, "Gradient clipping.")
    batch_seconds: float = option(72.0, "audio per update")
    ddp_timeout: int = option(
        1_000_000, "Seconds that processes wait while one computes the features of teachers."
    )
