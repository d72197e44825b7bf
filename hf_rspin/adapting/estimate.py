"""Hours, memory and disk of each step, from what the calibration measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hf_rspin.adapting.calibration import Rates
from hf_rspin.adapting.cutting import TEST_SECONDS, TEST_SHARE
from hf_rspin.adapting.recipe import Recipe
from hf_rspin.adapting.words import duration, size

FLOAT = 4  # bytes
MARGIN = 1.35  # 20 updates held 1.32 times the memory of the trial's three: freed blocks are kept
SAMPLES = 16_000 * FLOAT  # bytes of a second of speech in memory
SHARD_SECONDS = 2 * 3600.0  # that an extraction of units holds, see `extract_units`
LABEL_BYTES = 2 * 2 * 50  # of a second: units and pieces of 16 bits
CHECKPOINTS = 2  # kept while it trains, each with the two moments of Adam
TEST_MOST, TRAIN_MOST = 60, 200  # parts that are measured on and learned from
LEAST_STEPS = 20  # that a budget of hours must leave


@dataclass(frozen=True)
class Step:
    """One step of the run, and what it takes.

    Attributes:
        name: a word.
        what: a sentence for the plan.
        seconds: on the clock.
        memory: bytes.
        gpu_memory: bytes in tensors; None without GPU.
        disk: bytes that it leaves, or holds for a while.
    """

    name: str
    what: str
    seconds: float
    memory: float
    gpu_memory: float | None
    disk: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Amounts:
    """How much there is: seconds of recordings, and of speech in them (estimated, then counted).

    Attributes:
        read: of recordings.
        speech: that is not silent, over all chosen channels.
        read_rate: seconds on the clock to cut a second of recordings.
        longest: part.
        in_channels: seconds of recordings, of all channels that are heard by themselves.
    """

    read: float
    speech: float
    read_rate: float
    longest: float
    in_channels: float = 0.0

    @property
    def test(self) -> float:
        """Seconds held out."""
        return min(TEST_SHARE * self.speech, TEST_SECONDS)

    @property
    def train(self) -> float:
        """Seconds to train on."""
        return self.speech - self.test


def estimate(amounts: Amounts, recipe: Recipe, rates: Rates, workers: int = 0) -> list[Step]:
    """Return the four steps with their costs.

    Args:
        amounts: of speech.
        recipe: of the run.
        rates: measured.
        workers: processes that make views beside the one that trains.
    """
    frames = 50 * rates.dim * FLOAT  # bytes of a second of one layer
    clustered = min(recipe.kmeans_seconds, amounts.train)
    labels = clustered * (rates.encode + 50 * rates.fit)
    labels += amounts.train * (rates.encode + 50 * rates.assign)
    test = min(amounts.test, TEST_MOST * amounts.longest)
    learned = min(amounts.train, TRAIN_MOST * amounts.longest)
    weights = FLOAT * recipe.parameters
    speech = f"about {duration(amounts.speech)} not silent"
    several = amounts.in_channels > amounts.read
    channels = f", {duration(amounts.in_channels)} in all channels," if several else ""
    passes = recipe.max_steps * recipe.update_seconds / amounts.train
    steps = [
        ("cut", f"{duration(amounts.read)} of recordings{channels} -> {speech}",
         amounts.read * amounts.read_rate, 0.0, amounts.speech * rates.flac_bytes),
        ("labels", f"{recipe.num_clusters} units of layer {recipe.layer}, up to "
         f"{recipe.vocab_size} acoustic pieces", labels,
         min(SHARD_SECONDS, amounts.train) * SAMPLES, amounts.train * LABEL_BYTES),
        ("train", f"R-Spin, {recipe.max_steps} updates of {recipe.update_seconds:.0f} s "
         f"({passes:.1f} passes)", training_seconds(recipe, rates, workers), 0.0,
         (3 * CHECKPOINTS + 1) * weights),
        ("measure", f"before and after, {duration(test)} under {rates.heard} conditions",
         2 * rates.measure * (learned + rates.heard * test),
         test * SAMPLES + 2 * learned * frames,
         (learned + 2 * test) * frames * rates.layers),
    ]  # fmt: skip
    memory, on_gpu = rates.memory, rates.gpu_memory
    return [
        Step(name, what, seconds, MARGIN * memory[name] + more, on_gpu.get(name), disk)
        for name, what, seconds, more, disk in steps
    ]


def training_seconds(recipe: Recipe, rates: Rates, workers: int) -> float:
    """Return the seconds of all updates: views are made before or, with workers, meanwhile."""
    rate = rates.train
    if workers:
        rate = max(rates.train - rates.views, rates.views / workers)
    return recipe.max_steps * recipe.update_seconds * rate


def within(
    hours: float, amounts: Amounts, recipe: Recipe, rates: Rates, workers: int
) -> Recipe:
    """Return the recipe with as many updates as the hours on the clock leave, or fewer.

    Raises:
        ValueError: they leave almost none.
    """
    steps = estimate(amounts, recipe, rates, workers)
    others = sum(step.seconds for step in steps if step.name != "train")
    each = training_seconds(recipe, rates, workers) / recipe.max_steps
    left = int((3600 * hours - others) / each)
    if left < LEAST_STEPS:
        raise ValueError(
            f"--wall_hours {hours:g} leaves {max(0, left)} updates of {each:.1f} s after "
            f"{others / 3600:.2f} h for the other steps; expected {LEAST_STEPS} or more: give more "
            "time, or fewer --hours of recordings."
        )
    return replace(recipe, max_steps=min(recipe.max_steps, left))


def step_rows(steps: Sequence[Step]) -> list[list[str]]:
    """Return a row for each step, and one of the whole."""
    rows = []
    for step in steps:
        gpu = "" if step.gpu_memory is None else f" + {size(step.gpu_memory)} of the GPU"
        rows.append([step.name, step.what, duration(step.seconds), size(step.memory) + gpu,
                     size(step.disk)])  # fmt: skip
    most = max(step.memory for step in steps)
    gpus = [step.gpu_memory for step in steps if step.gpu_memory is not None]
    gpu = f" + {size(max(gpus))} of the GPU" if gpus else ""
    return [*rows, ["together", "", duration(sum(step.seconds for step in steps)),
                    size(most) + gpu, size(sum(step.disk for step in steps))]]  # fmt: skip
