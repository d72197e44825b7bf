"""What a CTC fine-tune is told: the corpus and its transcripts, the encoder, the optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from peft import PeftModel
from transformers import (
    Data2VecAudioForCTC,
    HubertForCTC,
    PreTrainedModel,
    PreTrainedTokenizer,
    SEWDForCTC,
    UniSpeechSatForCTC,
    Wav2Vec2ForCTC,
    WavLMForCTC,
)

from hf_rspin.adapters import AdapterArguments
from hf_rspin.downstream.freezing import freeze_encoder
from hf_rspin.downstream.head import start_at_prior
from hf_rspin.downstream.transcripts import CASES, TARGETS, TranscriptRules, choose_target
from hf_rspin.hub.export import clean_config
from hf_rspin.models import use_sdpa_attention
from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.encoders import EncoderArguments, build_model
from hf_rspin.training.recipe import CorpusArguments, split_name

HEAD = "lm_head"
CTC_CLASSES = {
    "hubert": HubertForCTC,
    "wavlm": WavLMForCTC,
    "wav2vec2": Wav2Vec2ForCTC,
    "data2vec-audio": Data2VecAudioForCTC,
    "unispeech-sat": UniSpeechSatForCTC,
    "sew-d": SEWDForCTC,
}
# by `model_type`, where no `apply_spec_augment` switches masking in training off
UNMASKED = {"data2vec-audio": {"mask_time_prob": 0.0}}
FROM_VOCABULARY = ("vocab_size", "pad_token_id")


@dataclass
class CtcCorpusArguments(CorpusArguments):
    """Which utterances to train and to measure on, and what is to be recognised in them."""

    min_seconds: float = field(default=0.3, metadata={"help": "shorter utterances are left out"})
    max_seconds: float = field(
        default=20.0,
        metadata={"help": "longer ones are left out of training: a transcript cannot be cropped"},
    )
    dev_split: str | None = field(
        default=None,
        metadata={"help": "split to watch training on; none: a part of the training data is held"},
    )
    test_split: str | None = field(
        default=None, metadata={"help": "split to measure once, at the end; none: no test"}
    )
    dev_fraction: float = field(
        default=0.1,
        metadata={"help": "share of speakers (of utterances, if few) held out without dev_split"},
    )
    target: str = field(default="auto", metadata={"help": "column: text, phones, or auto"})
    text_case: str = field(default="lower", metadata={"help": "text: lower, upper or keep"})
    keep_punctuation: bool = field(
        default=False, metadata={"help": "text: leave punctuation and symbols in"}
    )
    strip_stress: bool = field(default=True, metadata={"help": "phones: IY0 -> IY"})

    def __post_init__(self) -> None:
        """Read the word none, and refuse what cannot be meant.

        Raises:
            ValueError: a value out of its range, or one split for two purposes.
        """
        self.corpus_split, self.dev_split, self.test_split = map(
            split_name, (self.corpus_split, self.dev_split, self.test_split)
        )
        if self.target not in (*TARGETS, "auto"):
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

    def rules(self, columns: list[str]) -> TranscriptRules:
        """Return how the transcripts of a corpus with `columns` are read.

        Raises:
            ValueError: see `choose_target`.
        """
        target = choose_target(columns, self.target)
        return TranscriptRules(target, self.text_case, self.keep_punctuation, self.strip_stress)


@dataclass
class CtcModelArguments(EncoderArguments):
    """Which encoder, and what of it trains.

    Masking in training (SpecAugment) is off unless `encoder_config` switches `apply_spec_augment`
    on (data2vec: gives `mask_time_prob`); dropouts and the other masking probabilities are those
    of the encoder's config.
    """

    freeze_front_end: bool = field(
        default=True, metadata={"help": "the convolutions keep their weights"}
    )
    num_trainable_layers: int | None = field(
        default=None, metadata={"help": "top transformer layers that train; all when left out"}
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
            ValueError: see `build_model` and `freeze_encoder`.
        """
        model = build_model(
            self.encoder, CTC_CLASSES, (f"{HEAD}.",), lambda kind: self._changes(kind, tokenizer)
        )
        model.config = clean_config(model.config)
        if model.config.model_type == "wavlm":
            use_sdpa_attention(model.base_model)
        if prior is not None:
            start_at_prior(model.lm_head, prior)
        if adapter is None or adapter.adapter == "none":
            freeze_encoder(model, self.freeze_front_end, self.num_trainable_layers)
            return model
        freeze_encoder(model)
        adapted = adapter.wrap(model, (HEAD,), self.num_trainable_layers)
        # as the vocabulary is not that of the encoder, peft would look for text embeddings to save
        adapted.save_pretrained = partial(adapted.save_pretrained, save_embedding_layers=False)
        return adapted

    def _changes(self, model_type: str, tokenizer: PreTrainedTokenizer) -> dict:
        given = self.changes(without=("freeze_front_end", "num_trainable_layers"))
        for name in FROM_VOCABULARY:
            if name in given:
                raise ValueError(f"encoder_config names {name}, which the corpus decides.")
        return {
            "ctc_loss_reduction": "mean",
            "ctc_zero_infinity": True,
            **UNMASKED.get(model_type, {"apply_spec_augment": False}),
            **given,
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
        }


def _unused(value: object) -> object:
    """Return a field that belongs to two-view losses: no option of the command line."""
    return field(default=value, init=False)


@dataclass
class CtcTrainingArguments(TwoViewTrainingArguments):
    """`TwoViewTrainingArguments` for a supervised loss.

    Defaults that differ from the parent's: `max_steps` 5000, `warmup_steps` 0.1, `weight_decay`
    0.005, `max_grad_norm` 1, `batch_seconds` 160, AdamW, the linear schedule of `Trainer`;
    `greater_is_better` False, as every metric is an error rate or a loss. What belongs to two
    views or to the codebook is not used.
    """

    max_steps: int = field(
        default=5000, metadata={"help": "Number of updates; -1 counts num_train_epochs."}
    )
    warmup_steps: float = field(
        default=0.1, metadata={"help": "Updates of warm-up, or below 1 their share."}
    )
    weight_decay: float = field(default=0.005, metadata={"help": "Weight decay of the optimiser."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Gradient clipping."})
    batch_seconds: float = field(
        default=160.0,
        metadata={"help": "Most seconds of speech in one batch, per device and micro-batch."},
    )
    num_trainable_layers: int | None = _unused(None)  # `CtcModelArguments` has it
    min_learning_rate: float = _unused(0.0)
    use_adam: bool = _unused(False)
    frozen_dropout: bool = _unused(False)
    collapse_of_peak: float = _unused(0.0)
    collapse_of_codebook: float = _unused(0.0)
    collapse_grace_steps: int = _unused(0)
    stop_on_collapse: bool = _unused(False)

    def __post_init__(self):
        """Set what the parent's checks derive otherwise; see there."""
        self.greater_is_better = False
        super().__post_init__()
