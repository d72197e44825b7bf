"""Compare encoders on one corpus: phones, similarity to clean speech, speakers; clean and noisy.

    cd training_scripts && python evaluate_encoders.py configs/evaluate_encoders_small.yaml \
        --encoders log-mel encoder_folder rspin_folder --corpus speech --noise noise --rooms rooms

The corpus has `metadata.csv` with `split` (train, test), `speaker` and `phones`; what is missing is
left out. Killed at any moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from hf_rspin.analysis.comparison import ComparisonSettings, EncoderComparison
from hf_rspin.analysis.comparison_report import comparison_report
from hf_rspin.analysis.results import ResultsFile, short_names
from hf_rspin.analysis.tables import comparison_tables
from hf_rspin.audio import AUDIO_SUFFIXES, read_audio
from hf_rspin.data.corpus import load_corpus
from hf_rspin.evaluation.distortions import BackgroundNoise, GaussianNoise, Rooms, simulate_rooms
from hf_rspin.evaluation.featurizer import LOG_MEL, load_front_end
from hf_rspin.evaluation.phone_recognition import ProbeArguments
from hf_rspin.evaluation.utterances import Utterances
from hf_rspin.training.encoders import resolve_encoder
from hf_rspin.training.hardware import check_device
from hf_rspin.training.mistakes import WHILE_RUNNING, mistakes_explained
from hf_rspin.training.parsing import parse_arguments
from hf_rspin.training.recipe import split_name
from hf_rspin.views import NoiseBank


@dataclass
class EvaluationScriptArguments:
    """What to compare, on what."""

    encoders: list[str] = field(
        default_factory=list, metadata={"help": "folders, Hub ids, log-mel or log-mel:3 (context)"}
    )
    names: list[str] = field(
        default_factory=list, metadata={"help": "how tables call them; default: folders"}
    )
    corpus: str | None = field(default=None, metadata={"help": "folder with metadata.csv"})
    noise: str | None = field(default=None, metadata={"help": "folder of noise recordings"})
    seen_split: str = field(
        default="test", metadata={"help": "split of noise of seen kinds; none: all rows"}
    )
    unseen_split: str = field(
        default="test_unseen", metadata={"help": "split of noise of unseen kinds; none: all rows"}
    )
    rooms: str | None = field(default=None, metadata={"help": "folder of room responses"})
    simulated_rooms: int = field(default=5, metadata={"help": "room responses to simulate"})
    snr_db: float = field(default=0.0, metadata={"help": "SNR of all noise conditions, dB"})
    train_utterances: int | None = field(default=None, metadata={"help": "subset; default all"})
    test_utterances: int | None = field(default=None, metadata={"help": "subset; default all"})
    cka_utterances: int = field(default=600, metadata={"help": "test utterances for CKA"})
    strip_stress: bool = field(default=True, metadata={"help": "39 phones instead of 69"})
    output_dir: str = field(default="runs/evaluation", metadata={"help": "for results.json"})
    num_workers: int = field(default=os.cpu_count() or 1, metadata={"help": "threads"})
    bf16: bool = field(default=True, metadata={"help": "autocast the encoders to bfloat16"})
    device: str = field(default="cpu", metadata={"help": "cpu or cuda"})


def make_conditions(arguments: EvaluationScriptArguments) -> list:
    """Build the test conditions that the given folders allow."""
    conditions: list = [GaussianNoise(arguments.snr_db)]
    if arguments.noise:
        kinds = {"seen_noise": arguments.seen_split, "unseen_noise": arguments.unseen_split}
        for name, split in kinds.items():
            bank = NoiseBank(load_corpus(arguments.noise, split=split_name(split))["audio"])
            conditions.append(BackgroundNoise(bank, arguments.snr_db, name=name))
    responses = simulate_rooms(arguments.simulated_rooms)
    if arguments.rooms:
        files = sorted(Path(arguments.rooms).rglob("*"))
        responses += [read_audio(f) for f in files if f.suffix.lower() in AUDIO_SUFFIXES]
    if responses:
        conditions.append(Rooms(responses))
    return conditions


def read_split(
    arguments: EvaluationScriptArguments, split: str, count: int | None, keep: bool
) -> Utterances:
    """Return one split of the corpus, or a deterministic subset of it."""
    # Decoding now leaves damaged and silent files out, instead of stopping at them later.
    corpus = load_corpus(arguments.corpus, split=split, decode=count is None)
    return Utterances.from_corpus(corpus, arguments.strip_stress, keep).subset(count)


def open_results(
    arguments: EvaluationScriptArguments, names: list[str], settings: dict
) -> ResultsFile:
    """Open the results before any work.

    Raises:
        ValueError: they are of other encoders or settings, or an encoder cannot be loaded.
    """
    results = ResultsFile(Path(arguments.output_dir) / "results.json", settings)
    for path, name in zip(arguments.encoders, names, strict=True):
        front_end = load_front_end(path, name, arguments.bf16)
        results.check_encoder(name, front_end.fingerprint())
    return results


def name_encoders(arguments: EvaluationScriptArguments) -> list[str]:
    """Return how tables call the encoders, each found in a folder or on the Hub.

    Raises:
        ValueError: no encoders or corpus were given, an encoder does not exist, or names repeat.
    """
    if not arguments.encoders or not arguments.corpus:
        raise ValueError("give --encoders and --corpus; see the top of this file.")
    names = arguments.names or short_names(arguments.encoders)
    if len(set(names)) != len(arguments.encoders) or any("/" in name for name in names):
        raise ValueError(
            f"the encoders are called {names}; give --names, one for each, all different, no slash."
        )
    arguments.encoders = [
        path if path.split(":")[0] == LOG_MEL else resolve_encoder(path)
        for path in arguments.encoders
    ]
    return names


def main() -> None:
    """Run the comparison and print its tables."""
    arguments, probe = parse_arguments(EvaluationScriptArguments, ProbeArguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    settings = ComparisonSettings(probe, arguments.cka_utterances, arguments.num_workers)
    kept = {k: v for k, v in asdict(arguments).items() if k not in
            ("encoders", "names", "output_dir", "num_workers", "device", "bf16")}
    with mistakes_explained():
        names = name_encoders(arguments)
        check_device(arguments.device)
        results = open_results(arguments, names, {"script": kept, "probe": asdict(probe)})
        comparison = EncoderComparison(
            results, read_split(arguments, "test", arguments.test_utterances, keep=True),
            make_conditions(arguments),
            read_split(arguments, "train", arguments.train_utterances, keep=False), settings,
        )
    for path, name in zip(arguments.encoders, names, strict=True):
        with mistakes_explained(WHILE_RUNNING):
            comparison.run(load_front_end(path, name, arguments.bf16, arguments.device))
        tables = comparison_tables(results)
        (Path(arguments.output_dir) / "results.md").write_text(tables + "\n")
        report = comparison_report(results, "Frozen speech encoders, clean and distorted")
        report.write(Path(arguments.output_dir) / "report.html")
        print(tables)


if __name__ == "__main__":
    main()
