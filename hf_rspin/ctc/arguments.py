"""What a CTC fine-tune is told: the corpus and its transcripts, the encoder, the optimisation.

Only the standard library is imported here, so that `--help` starts fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_rspin.training.corpus_arguments import CorpusArguments, split_name
from hf_rspin.training.model_arguments import EncoderArguments
from hf_rspin.training.optimization import SpeechOptions
from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.utils import option

if TYPE_CHECKING:
    import numpy as np
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizer

    from hf_rspin.adapters import AdapterArguments

CASES = ("lower", "upper", "keep")
SAME_TARGET = {"words": "text", "characters": "text"}


@dataclass
class CtcCorpusArguments(SelectionArguments, CorpusArguments):
    """Which utterances to train and to measure on, and what is to be recognised in them."""

    min_seconds: float = option(0.3, "shorter utterances are left out")
    max_seconds: float = option(
        20.0, "longer ones are left out of training: a transcript cannot be cropped"
    )
    segment_seconds: float = option(0.0, "not used: a transcript cannot be cut; 0")
    dev_split: str | None = option(
        None, "split to watch training on; none: a part of the training data is held"
    )
    test_split: str | None = option(None, "split to measure once, at the end; none: no test")
    dev_fraction: float = option(
        0.1, "share of speakers (of utterances, if few) held out without dev_split"
    )
    target: str = option("auto", "column: text (words), phones, or auto")
    text_case: str = option("lower", "text: lower, upper or keep")
    keep_punctuation: bool = option(False, "text: leave punctuation and symbols in")
    strip_stress: bool = option(True, "phones: IY0 -> IY")

    def __post_init__(self) -> None:
        """Read the word none, and refuse what cannot be meant.

        Raises:
            ValueError: a value out of its range, or one split for two purposes.
        """
        super().__post_init__()
        self.corpus_split, self.dev_split, self.test_split = map(
            split_name, (self.corpus_split, self.dev_split, self.test_split)
        )
        self.target = SAME_TARGET.get(self.target, self.target)
        if self.target not in ("text", "phones", "auto"):
            raise ValueError(f"target is {self.target!r}; expected text, phones or auto.")
        if self.text_case not in CASES:
            raise ValueError(f"text_case is {self.text_case!r}; expected {', '.join(CASES)}.")
        if not 0 <= self.dev_fraction < 1:
            raise ValueError(f"dev_fraction is {self.dev_fraction:g}; expected 0 to below 1.")
        named = [s for s in (self.corpus_split, self.dev_split, self.test_split) if s is not None]
        for split in named:
            if named.count(split) > 1:
                raise ValueError(
                    f"the split {split} was named twice; expected different splits to train on, "
                    "to watch (dev) and to measure at the end (test)."
                )


@dataclass
class CtcModelArguments(EncoderArguments):
    """Which encoder, and what of it trains.

    Masking in training (SpecAugment) is off unless `encoder_config` switches `apply_spec_augment`
    on (data2vec: gives `mask_time_prob`); dropouts and the other masking probabilities are those
    of the encoder's config.
    """

    freeze_feature_encoder: bool = option(True, "the convolutions keep their weights")
    num_trainable_layers: int | None = option(
        None, "top transformer layers that train; all when left out"
    )

    def build(
        self,
        tokenizer: PreTrainedTokenizer,
        adapter: AdapterArguments | None = None,
        prior: np.ndarray | None = None,
    ) -> PreTrainedModel | PeftModel:
        """Load the encoder with a CTC head, in float32, a fresh one where the sizes differ.

        Args:
            tokenizer: its tokens are the classes.
            adapter: adapter to train with the head, instead of the encoder.
            prior: how often each class comes (classes,), where a fresh head starts.

        Raises:
            ValueError: see `build_model` and `freeze_lower_layers`.
        """
        from hf_rspin.ctc.model import build_ctc

        options = {
            "freeze_feature_encoder": self.freeze_feature_encoder,
            "num_trainable_layers": self.num_trainable_layers,
        }
        changes = self.changes(without=tuple(options))
        return build_ctc(self.encoder, changes, tokenizer, adapter, prior, **options)


@dataclass
class CtcOptions(SpeechOptions):
    """The optimisation of CTC: AdamW, linear warm-up and decay."""

    max_steps: int = option(5000, "Number of updates; -1 counts num_train_epochs.")
    learning_rate: float = option(1e-4, "Peak of the schedule.")
    warmup_steps: float = option(0.1, "Updates of warm-up, or below 1 their share.")
    weight_decay: float = option(0.005, "Weight decay of the optimiser.")
    max_grad_norm: float = option(1.0, "Gradient clipping.")

    def __post_init__(self):
        """Set what the parent's checks derive otherwise: every metric is an error or a loss."""
        self.greater_is_better = False
        super().__post_init__()
