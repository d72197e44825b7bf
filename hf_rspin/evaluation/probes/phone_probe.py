"""SUPERB's phone recognition probe on cached frozen features."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, log_softmax
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from hf_rspin.evaluation.feature_store import FeatureStore
from hf_rspin.evaluation.measures.error_rates import ErrorCounts, count_errors
from hf_rspin.evaluation.phone_labels import BLANK, PhoneVocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeArguments:
    """How a probe is trained.

    SUPERB: lr 1e-2, batch 32, 100k updates; R-Spin: lr 5e-4, 30k. Defaults here are for corpora
    of a few hours on a CPU: fewer updates, and a learning rate that falls to zero (cosine).
    """

    learning_rate: float = 5e-3
    num_updates: int = 3000
    batch_size: int = 32
    evaluations: int = 15
    max_grad_norm: float = 1.0
    projection_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_updates", "batch_size", "evaluations", "projection_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more.")
        if not 0 < self.learning_rate:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected more than 0.")


class WeightedLayerSum(nn.Module):
    """The SUPERB featurizer: softmax over one learned weight per layer, zeros at the start."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_layers))

    def forward(self, features: Tensor) -> Tensor:
        """(layers, frames, dim) -> (frames, dim)."""
        layers, frames, dim = features.shape
        if layers != len(self.weights):
            raise ValueError(f"got features of {layers} layers, expected {len(self.weights)}.")
        return (self.weights.softmax(0) @ features.reshape(layers, -1)).view(frames, dim)

    @torch.no_grad()
    def normalized_weights(self, layer_norms: Tensor) -> Tensor:
        """Weights for plots, (layers,): w_l * mean L2 norm of layer l, with sum 1 (B.2)."""
        scaled = self.weights.softmax(0) * layer_norms.to(self.weights)
        return scaled / scaled.sum()


class PhoneProbe(nn.Module):
    """Weighted layer sum, Linear(dim, 256), Linear(256, phones + blank); no non-linearity."""

    def __init__(
        self, num_layers: int, dim: int, vocabulary: PhoneVocabulary, projection_size: int = 256
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.layers = WeightedLayerSum(num_layers)
        self.projection = nn.Linear(dim, projection_size)
        self.classifier = nn.Linear(projection_size, len(vocabulary))

    def forward(self, features: Tensor) -> Tensor:
        """(layers, frames, dim) -> log probabilities (frames, classes)."""
        return log_softmax(self.classifier(self.projection(self.layers(features))), dim=-1)

    @torch.inference_mode()
    def recognize(self, features: Tensor) -> str:
        """Greedy decoding: (layers, frames, dim) -> phones separated by blanks."""
        return " ".join(self.vocabulary.decode_greedy(self(features).argmax(-1).tolist()))


@dataclass(frozen=True)
class ProbeTraining:
    """What training a probe gave; `history` holds update, loss and dev_per per evaluation."""

    probe: PhoneProbe
    dev_per: float
    history: list[dict[str, float]]


def train_probe(
    store: FeatureStore,
    phones: Sequence[Sequence[str]],
    train: Sequence[int],
    dev: Sequence[int],
    arguments: ProbeArguments | None = None,
) -> ProbeTraining:
    """Train a probe with CTC on cached features; keep the weights of the best dev PER.

    Args:
        store: features of all utterances.
        phones: the phones of each utterance of the store.
        train: utterances to train on. Those with more phones than frames are left out.
        dev: utterances to choose the best weights on.
        arguments: defaults of `ProbeArguments`.
    """
    arguments = arguments or ProbeArguments()
    torch.manual_seed(arguments.seed)
    vocabulary = PhoneVocabulary.build(phones[i] for i in train)
    probe = PhoneProbe(store.num_layers, store.dim, vocabulary, arguments.projection_size)
    optimizer = torch.optim.Adam(probe.parameters(), lr=arguments.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.num_updates)
    batches = _batches(_alignable(store, phones, train), arguments)
    history, best = [], (float("inf"), copy.deepcopy(probe.state_dict()))
    interval = max(1, arguments.num_updates // arguments.evaluations)
    progress = tqdm(range(1, arguments.num_updates + 1), desc="phone probe")
    losses = []
    for update in progress:
        losses.append(_update(probe, optimizer, store, phones, next(batches), arguments))
        schedule.step()
        if update % interval == 0 or update == arguments.num_updates:
            per = evaluate_probe(probe, store, phones, dev).rate
            history.append({"update": update, "loss": float(np.mean(losses)), "dev_per": per})
            progress.set_postfix(loss=f"{history[-1]['loss']:.3f}", dev_per=f"{per:.3f}")
            losses = []
            if per < best[0]:
                best = per, copy.deepcopy(probe.state_dict())
    probe.load_state_dict(best[1])
    return ProbeTraining(probe.eval(), best[0], history)


def evaluate_probe(
    probe: PhoneProbe,
    store: FeatureStore,
    phones: Sequence[Sequence[str]],
    indices: Sequence[int],
) -> ErrorCounts:
    """Score a probe on some utterances of a store."""
    predictions = [probe.recognize(store[i]) for i in indices]
    return count_errors([" ".join(phones[i]) for i in indices], predictions)


def _update(probe, optimizer, store, phones, indices, arguments) -> float:
    features, lengths = store.gather(indices, reuse=True)
    log_probabilities = pad_sequence(probe(features).split(lengths))  # (frames, batch, classes)
    targets = [probe.vocabulary.encode(phones[i]) for i in indices]
    loss = ctc_loss(
        log_probabilities,
        torch.tensor([label for target in targets for label in target]),
        torch.tensor(lengths),
        torch.tensor([len(target) for target in targets]),
        blank=BLANK,
    )
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(probe.parameters(), arguments.max_grad_norm)
    optimizer.step()
    return loss.item()


def _alignable(store: FeatureStore, phones, indices) -> list[int]:
    """Drop utterances that CTC cannot align: equal neighbours need a blank between them."""

    def needed(sequence: Sequence[str]) -> int:
        return len(sequence) + sum(a == b for a, b in zip(sequence, sequence[1:], strict=False))

    kept = [i for i in indices if phones[i] and needed(phones[i]) <= store.lengths[i]]
    if not kept:
        raise ValueError("no training utterance has phones that fit into its frames.")
    if len(kept) < len(indices):
        logger.warning(
            "%d of %d training utterances left out: no phones, or more than frames.",
            len(indices) - len(kept), len(indices),
        )
    return kept


def _batches(indices: Sequence[int], arguments: ProbeArguments):
    """Endless random batches; every utterance once before any comes again."""
    rng = np.random.default_rng(arguments.seed)
    queue: list[int] = []
    while True:
        while len(queue) < arguments.batch_size:
            queue += rng.permutation(indices).tolist()
        yield queue[: arguments.batch_size]
        queue = queue[arguments.batch_size :]
