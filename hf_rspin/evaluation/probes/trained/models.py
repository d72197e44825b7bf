"""The three probes of SUPERB that are trained: phones, characters, speakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.utils.rnn import pad_sequence

from hf_rspin.data.phone_labels import BLANK, PhoneVocabulary
from hf_rspin.evaluation.probes.trained.base import TrainedProbe
from hf_rspin.evaluation.probes.trained.heads import LinearHead, MeanHead, RecurrentHead
from hf_rspin.evaluation.probes.trained.spec_augment import SpecAugment


class CtcProbe(TrainedProbe):
    """A probe that is trained with CTC and decoded greedily."""

    between: ClassVar[str]  # tokens of a text

    def __init__(
        self, num_layers: int, dim: int, classes: Sequence[str], head: nn.Module,
        sizes: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(num_layers, dim, classes, head, sizes)
        self.vocabulary = PhoneVocabulary(self.classes)

    def fits(self, text: str, frames: int) -> bool:
        """Say whether all tokens are known, and frames enough for them and blanks between equal."""
        tokens = self.tokens(text)
        if not tokens or not set(tokens) <= set(self.classes):
            return False
        equal = sum(a == b for a, b in zip(tokens, tokens[1:], strict=False))
        return len(tokens) + equal <= frames

    def losses(self, scores: Tensor, lengths: Sequence[int], texts: Sequence[str]) -> Tensor:
        """Return the CTC loss of each utterance that fits, divided by the number of its tokens."""
        parts = zip(scores.log_softmax(-1).split(list(lengths)), texts, strict=True)
        kept = [(part, self.tokens(text)) for part, text in parts if self.fits(text, len(part))]
        if not kept:
            return scores.new_zeros(0)
        targets = [torch.tensor(self.vocabulary.encode(tokens)) for _, tokens in kept]
        sizes = torch.tensor([len(target) for target in targets])
        found = ctc_loss(
            pad_sequence([part for part, _ in kept]), torch.cat(targets).to(scores.device),
            torch.tensor([len(part) for part, _ in kept]), sizes,
            blank=BLANK, reduction="none", zero_infinity=True,
        )  # fmt: skip
        return found / sizes.to(found)

    def decode(self, scores: Tensor, lengths: Sequence[int]) -> list[str]:
        """Return the best paths of (all frames, classes)."""
        paths = scores.argmax(-1).split(list(lengths))
        heard = (self.vocabulary.decode_greedy(path.tolist()) for path in paths)
        return [self.between.join(tokens) for tokens in heard]


class PhoneProbe(CtcProbe):
    """SUPERB's probe of phone recognition: two linear layers, CTC; texts are phones and blanks."""

    kind, between = "pr", " "

    def __init__(
        self, num_layers: int, dim: int, classes: Sequence[str], projection_size: int = 256
    ) -> None:
        head = LinearHead(dim, len(classes) + 1, projection_size)
        super().__init__(num_layers, dim, classes, head, {"projection_size": projection_size})

    @staticmethod
    def tokens(text: str) -> list[str]:
        """Return the phones."""
        return text.split()


class CharacterProbe(CtcProbe):
    """SUPERB's probe of speech recognition: bidirectional LSTMs, CTC over characters.

    Args:
        num_layers: of the features.
        dim: of the features.
        classes: characters, the blank between words among them.
        hidden_size: see `RecurrentHead`.
        depth: see `RecurrentHead`.
        dropout: see `RecurrentHead`.
        augment: of the weighted features while training; no part of what is saved.
    """

    kind, between, pool = "asr", "", 8

    def __init__(
        self, num_layers: int, dim: int, classes: Sequence[str], hidden_size: int = 256,
        depth: int = 2, dropout: float = 0.2, augment: SpecAugment | None = None,
    ) -> None:  # fmt: skip
        sizes = {"hidden_size": hidden_size, "depth": depth, "dropout": dropout}
        head = RecurrentHead(dim, len(classes) + 1, **sizes)
        super().__init__(num_layers, dim, classes, head, sizes)
        self.augment = augment

    def forward(
        self, features: Tensor, lengths: Sequence[int], rng: np.random.Generator | None = None
    ) -> Tensor:
        """See `TrainedProbe`."""
        if rng is None or self.augment is None:
            return super().forward(features, lengths)
        return self.head(self.augment(self.layers(features), lengths, rng), lengths)

    def decode(self, scores: Tensor, lengths: Sequence[int]) -> list[str]:
        """Return the best paths, one blank between words."""
        return [" ".join(text.split()) for text in super().decode(scores, lengths)]

    @staticmethod
    def tokens(text: str) -> list[str]:
        """Return the characters, blanks counted."""
        return list(text)


class UtteranceProbe(TrainedProbe):
    """SUPERB's probe of speaker identification: Linear, mean over time, Linear."""

    kind = "sid"

    def __init__(
        self, num_layers: int, dim: int, classes: Sequence[str], projection_size: int = 256
    ) -> None:
        head = MeanHead(dim, len(classes), projection_size)
        super().__init__(num_layers, dim, classes, head, {"projection_size": projection_size})
        self._index = {name: place for place, name in enumerate(self.classes)}

    def fits(self, text: str, frames: int) -> bool:
        """Say whether the speaker is known."""
        return text in self._index

    def guessing_error(self, texts: Sequence[str]) -> float:
        """Return the error rate of naming the most frequent speaker always."""
        return 1 - max(Counter(texts).values()) / len(texts)

    def losses(self, scores: Tensor, lengths: Sequence[int], texts: Sequence[str]) -> Tensor:
        """Return the cross entropy of each utterance whose speaker is known."""
        kept = [place for place, text in enumerate(texts) if text in self._index]
        truth = torch.tensor([self._index[texts[place]] for place in kept], dtype=torch.int64)
        return cross_entropy(scores[kept], truth.to(scores.device), reduction="none")

    def decode(self, scores: Tensor, lengths: Sequence[int]) -> list[str]:
        """Return the name of each utterance's speaker."""
        return [self.classes[place] for place in scores.argmax(-1).tolist()]

    @staticmethod
    def tokens(text: str) -> list[str]:
        """Return the name as the only one."""
        return [text]
