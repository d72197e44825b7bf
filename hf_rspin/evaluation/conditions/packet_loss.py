"""The condition of a bad connection: packets of 20 ms that never arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.evaluation.conditions.base import utterance_generator
from hf_rspin.evaluation.conditions.graded import GradedDistortion

PACKET = SAMPLING_RATE // 50  # samples
LOSS_RATES = (0.05, 0.1, 0.2, 0.4)
DEFAULT_BURST = 3.0
Fill = Literal["zero", "repeat"]


@dataclass(frozen=True)
class PacketLoss(GradedDistortion):
    """5, 10, 20 or 40 % of the packets are lost, in bursts, by Gilbert's model.

    Args:
        severity: 1 to 4.
        mean_burst: how many packets are lost in a row, on average; 1 loses single packets only.
        fill: "zero" plays silence instead; "repeat" plays the last packet that arrived (silence
            before the first).
        seed: another one loses other packets.

    Raises:
        ValueError: bursts below one packet or too short for so many losses, or another fill.

    Example:
        >>> PacketLoss(3, mean_burst=1, fill="repeat").name
        'packet_loss_burst1_repeat_3'
    """

    kind: ClassVar[str] = "packet_loss"
    mean_burst: float = DEFAULT_BURST
    fill: Fill = "zero"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fill not in get_args(Fill):
            raise ValueError(f"got fill={self.fill!r} of lost packets, expected zero or repeat.")
        super().__post_init__()
        _gilbert(self.rate, self.mean_burst)

    def variant(self) -> str:
        """Return the kind, with the burst and the fill where they are not the default."""
        burst = "" if self.mean_burst == DEFAULT_BURST else f"_burst{self.mean_burst:g}"
        return self.kind + burst + ("" if self.fill == "zero" else f"_{self.fill}")

    def describe(self) -> str:
        """See `GradedDistortion`."""
        burst = f"bursts of {self.mean_burst:g}" if self.mean_burst > 1 else "single ones"
        repeat = ", the last one repeated" if self.fill == "repeat" else ""
        return f"{100 * self.rate:g} % of packets of 20 ms, {burst}{repeat}"

    @property
    def rate(self) -> float:
        """How many of the packets are lost, 0 to 1, on average over utterances."""
        return LOSS_RATES[self.severity - 1]

    def __call__(self, waveform: np.ndarray, utterance: str) -> np.ndarray:
        """Lose packets of (samples,)."""
        count = -(-len(waveform) // PACKET)
        rng = utterance_generator(self.seed, self.kind, utterance)
        lost = lost_packets(rng, count, self.rate, self.mean_burst)
        packets = np.pad(waveform, (0, count * PACKET - len(waveform))).reshape(count, PACKET)
        if self.fill == "repeat":
            last = np.maximum.accumulate(np.where(lost, -1, np.arange(count)))
            packets, lost = packets[np.maximum(last, 0)], last < 0
        return np.where(lost[:, None], np.float32(0), packets).reshape(-1)[: len(waveform)]


def lost_packets(
    rng: np.random.Generator, count: int, rate: float, mean_burst: float
) -> np.ndarray:
    """Draw which packets are lost, (packets,) bool, by a chain of two states.

    E. N. Gilbert, Capacity of a burst-noise channel, 1960, with no packet lost in the good state
    and none received in the bad one.

    Args:
        rng: decides.
        count: number of packets.
        rate: share of packets that are lost, below 1, on average: the chain starts in equilibrium.
        mean_burst: packets lost in a row, 1 or more, on average.

    Raises:
        ValueError: no chain has that rate and those bursts.
    """
    begin, stay = _gilbert(rate, mean_burst)
    lost, is_lost = np.zeros(count, dtype=bool), False
    for place, chance in enumerate(rng.random(count).tolist()):
        is_lost = chance < (rate if place == 0 else stay if is_lost else begin)
        lost[place] = is_lost
    return lost


def _gilbert(rate: float, mean_burst: float) -> tuple[float, float]:
    """Return the chance that a packet is lost after a received one, and after a lost one."""
    shortest = max(1.0, rate / (1.0 - rate)) if 0.0 <= rate < 1.0 else np.inf
    if not shortest <= mean_burst < np.inf:
        raise ValueError(
            f"got bursts of {mean_burst} packets at a loss of {rate:g}, expected a loss of 0 to 1 "
            f"and bursts of at least {shortest:g}, such as 3."
        )
    return rate / (1.0 - rate) / mean_burst, 1.0 - 1.0 / mean_burst
