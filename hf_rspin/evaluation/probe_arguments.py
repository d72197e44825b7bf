"""How a probe is trained: updates, batches, and one learning rate or several to choose from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from hf_rspin.utils import option

_COUNTS = ("num_updates", "batch_size", "evaluations", "projection_size")
RECIPES: dict[tuple[str, str], dict[str, Any]] = {  # of papers: learning rate and updates
    ("superb", "pr"): {"learning_rate": 1e-2, "num_updates": 100_000, "evaluations": 100},
    ("superb", "asr"): {"learning_rate": 1e-4, "num_updates": 200_000, "evaluations": 100},
    ("superb", "sid"): {"learning_rate": 1e-4, "num_updates": 200_000, "evaluations": 40},
    ("rspin", "pr"): {"learning_rate": 5e-4, "num_updates": 30_000, "evaluations": 30},
    ("rspin", "asr"): {"learning_rate": 1e-4, "num_updates": 100_000, "evaluations": 50},
    ("rspin", "sid"): {"learning_rate": 1e-4, "num_updates": 50_000, "evaluations": 10},
}


@dataclass(frozen=True)
class ProbeArguments:
    """How a probe is trained: Adam, gradients clipped, the weights of the best dev score kept.

    Defaults are for corpora of a few hours on a CPU: fewer updates than SUPERB's, and a learning
    rate that falls to zero. `ProbeArguments.recipe("superb", "pr")` has those of the papers.

    Without `learning_rate` it is searched: each of `learning_rates` trains for `search_share` of
    the updates (a whole schedule, so short), the one with the best dev score then trains in full.
    Five rates at the default share cost half a training.

    Args:
        learning_rate: the only one; None: the best of `learning_rates`.
        learning_rates: those to choose from.
        search_share: of `num_updates`, for each of them.
        num_updates: of the training that counts.
        batch_size: utterances.
        evaluations: dev scores taken, evenly over the training.
        schedule: "cosine" falls to zero, "constant" is SUPERB's.
        max_grad_norm: gradients are clipped to this L2 norm.
        projection_size: of the linear layer below that of the classes (PR and SID).
        seed: of initial weights, batches, crops and masks.

    Raises:
        ValueError: a number is out of its range.
    """

    learning_rate: float | None = option(None, "of probes; default: the best of learning_rates")
    learning_rates: list[float] = option(
        [1e-1, 1e-2, 1e-3, 1e-4, 1e-5], "of probes, tried by short trainings and their dev scores"
    )
    search_share: float = option(0.1, "share of num_updates for each of learning_rates", rare=True)
    num_updates: int = option(3000, "of a probe")
    batch_size: int = option(32, "utterances of a probe's batch")
    evaluations: int = option(15, "dev scores while a probe is trained", rare=True)
    schedule: Literal["cosine", "constant"] = option(
        "cosine", "of a probe's learning rate", rare=True
    )
    max_grad_norm: float = option(1.0, "gradients of a probe are clipped to it", rare=True)
    projection_size: int = option(
        256, "hidden dimensions of the probes of phones and speakers", rare=True
    )
    seed: int = option(0, "of the probes")

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more.")
        if self.learning_rate is not None and not 0 < self.learning_rate:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected more than 0.")
        if not self.learning_rates or not all(0 < rate for rate in self.learning_rates):
            raise ValueError(
                f"learning_rates are {list(self.learning_rates)}; expected one or more, all of "
                "them above 0."
            )
        if not 0 < self.search_share <= 1:
            raise ValueError(f"search_share is {self.search_share}; expected above 0, at most 1.")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule is {self.schedule!r}; expected cosine or constant.")

    @classmethod
    def recipe(cls, paper: str, probe: str) -> ProbeArguments:
        """Return the training of a paper: "superb" (2105.01051) or "rspin" (2311.09117).

        SUPERB's learning rate of `sid` is a poor one, as its users found: search instead.

        Args:
            paper: "superb" or "rspin".
            probe: "pr", "asr" or "sid".

        Raises:
            ValueError: there is no such recipe.
        """
        if (paper, probe) not in RECIPES:
            known = ", ".join(" ".join(pair) for pair in RECIPES)
            raise ValueError(f"got recipe {paper} {probe}; expected one of {known}.")
        return cls(**RECIPES[paper, probe], batch_size=32, schedule="constant")

    def with_changes_of(self, given: ProbeArguments) -> ProbeArguments:
        """Return these with what in `given` is not its default; rates to search replace the one.

        Args:
            given: what a user asked for beside a recipe; a value equal to its default does not
                count.
        """
        usual = ProbeArguments()
        changed = {
            one.name: getattr(given, one.name) for one in fields(self)
            if getattr(given, one.name) != getattr(usual, one.name)
        }  # fmt: skip
        if "learning_rates" in changed:
            changed.setdefault("learning_rate", None)
        return replace(self, **changed)

    def rates(self) -> list[float]:
        """Return the learning rates to choose from; a single one needs no search."""
        if self.learning_rate is not None:
            return [self.learning_rate]
        return list(dict.fromkeys(self.learning_rates))

    def search_updates(self) -> int:
        """Return the updates of each training of the search."""
        return max(1, round(self.search_share * self.num_updates))

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, as JSON values: nothing of a search that is not made."""
        found = asdict(self) | {"learning_rates": self.rates()}
        del found["learning_rate"]
        if len(self.rates()) == 1:
            del found["search_share"]
        return found
