"""What `hf-rspin search-subnet` asks for: a supernet, data, a budget, a metric."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hf_rspin.evaluation.arguments import default_workers
from hf_rspin.utils import mapping_option, option


@dataclass
class SearchArguments:
    """What to search, by what."""

    encoder: str = option("", "the supernet: folder of --objective elastic --stage 2")
    space: dict | str | None = option(None, "of its subnets; default: elastic.json in the folder")
    subnet: str | None = option(
        None, "no search: save this subnet (JSON or its file, largest, smallest) as an encoder"
    )
    corpus: str | None = option(None, "folder of audio with metadata.csv, speakers and labels")
    max_parameters: float | None = option(None, "budget, as 30e6")
    max_flops: float | None = option(
        None, "budget of operations per second of audio, in utterances of --flops_seconds, as 5e9"
    )
    flops_seconds: float = option(10.0, "length of utterance that operations are counted for")
    metric: str = option(
        "linear_phones", "linear_phones, pnmi, or another metric or probe of `hf-rspin evaluate`"
    )
    probe_settings: dict | str | None = option(
        None, 'of the probe, mapping or JSON, as {"num_updates": 300}'
    )
    layer: int | None = option(
        None, "hidden state to measure, -1 the last; default: all of them, and the best counts"
    )
    population: int = option(12, "subnets of a generation")
    generations: int = option(4, "of them, the random first one counted")
    exportable: bool = option(False, "only subnets that can be saved as plain encoders")
    references: bool = option(
        True, "measure the largest and the smallest subnet too, whatever the budget"
    )
    train_split: str = option("train", "a tenth of its speakers is held out, and measured on")
    train_utterances: int | None = option(400, "that the probe learns on")
    test_utterances: int | None = option(100, "held-out utterances to measure on")
    segment_seconds: float = option(17.0, "recordings above a minute are cut into such parts")
    seed: int = option(0, "of search and probe")
    bf16: bool = option(False, "autocast the encoder to bfloat16")
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")
    num_workers: int = option(default_workers(), "threads")
    output_dir: str = option("runs/search", "for results; the best subnet goes to best in it")

    def __post_init__(self) -> None:
        self.probe_settings = mapping_option("probe_settings", self.probe_settings)
        if isinstance(self.space, str) and self.space.startswith("{"):
            self.space = mapping_option("space", self.space)

    def check(self) -> None:
        """Refuse what cannot be run, before anything is read.

        Raises:
            ValueError: no supernet, corpus or budget, or a budget or length of utterances that is
                no number above 0.
        """
        if not self.encoder:
            raise ValueError("no supernet was given; name its folder first on the command line.")
        if not (math.isfinite(self.flops_seconds) and self.flops_seconds > 0):
            raise ValueError(
                f"flops_seconds is {self.flops_seconds:g}; expected a length above 0 s, as 10."
            )
        if self.subnet is not None:
            return
        if not self.corpus:
            raise ValueError("no corpus was given; pass --corpus FOLDER with phone labels.")
        budgets = [b for b in (self.max_parameters, self.max_flops) if b is not None]
        if not budgets or not all(budget > 0 for budget in budgets):
            raise ValueError(
                f"got max_parameters {self.max_parameters} and max_flops {self.max_flops}; "
                "expected one or both, above 0: a search without a budget finds the largest."
            )
