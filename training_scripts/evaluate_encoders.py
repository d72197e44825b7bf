"""Compare encoders on one corpus, clean and distorted: phones, similarity, speakers, units.

    cd training_scripts && python evaluate_encoders.py configs/evaluate_encoders_small.yaml \
        --encoders log-mel encoder_folder rspin_folder --corpus speech --noise noise --rooms rooms

A plain folder of audio is enough for what needs no label. `metadata.csv` with `split` (train,
test), `speaker`, `phones` and `alignment` adds the rest; what is missing is said. Times of phones
may also lie beside it in `alignments.jsonl`: a JSON object per line with `file_name`, `phones`,
`phone_starts`, `phone_ends` (seconds) and perhaps `score`. Whisper's encoder may be among the
encoders. Killed at any moment, the same command goes on where it stopped. The output folder gets
`report.html`, `results.md`, and `results.csv`, one long table.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hf_rspin.audio import read_audio
from hf_rspin.data.corpus import load_corpus
from hf_rspin.device import check_device
from hf_rspin.evaluation import (
    PROBES,
    BackgroundNoise,
    CkaProbe,
    Evaluation,
    EvaluationSet,
    GaussianNoise,
    PhoneRecognition,
    Probe,
    ProbeArguments,
    Reverberation,
    SpeakerIdentification,
    UnitProbe,
    load_features,
    synthesize_rirs,
    to_table,
)
from hf_rspin.evaluation.evaluate import short_names
from hf_rspin.evaluation.features import needs_no_model
from hf_rspin.evaluation.report import evaluation_report
from hf_rspin.evaluation.table import sections
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.training.arguments import split_name
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error, parse_arguments
from hf_rspin.utils import option, write_text
from hf_rspin.views import NoiseBank

logger = logging.getLogger(__name__)

TITLE = "Frozen speech encoders, clean and distorted"
SUMMARY = """Each encoder is frozen. What is trained on its features (a linear phone recogniser, a
linear speaker recogniser, k-means units) is trained on clean speech, then tested on other
recordings: clean, with noise added, or played in a room. Features that ignore noise and speaker
keep the phone error rate low in every condition, a similarity (CKA) near 1, and a low speaker
accuracy."""


@dataclass
class EvaluationScriptArguments:
    """What to compare, on what."""

    encoders: list[str] = option([], "folders, Hub ids (Whisper too), log-mel, log-mel:3 or mfcc")
    names: list[str] = option([], "how tables call them; default: folders")
    corpus: str | None = option(None, "folder of audio, with metadata.csv for what needs labels")
    test_split: str | None = option(
        None, "split to measure on; default test, or all of a corpus without splits"
    )
    train_split: str | None = option(None, "split to learn on; default train, where there is one")
    segment_seconds: float = option(
        17.0, "recordings above a minute are cut at pauses into parts of up to this; 0: none"
    )
    probes: list[str] = option(list(PROBES), "what to measure")
    noise: str | None = option(None, "folder of noise recordings")
    seen_split: str = option("test", "split of noise of seen kinds; none: all rows")
    unseen_split: str = option("test_unseen", "split of noise of unseen kinds; none: all rows")
    rooms: str | None = option(None, "folder of room responses")
    simulated_rooms: int = option(5, "room responses to simulate")
    snr_db: list[float] = option([0.0], "SNRs of all noise conditions, dB")
    train_utterances: int | None = option(None, "subset; default all")
    test_utterances: int | None = option(None, "subset; default all")
    cka_utterances: int = option(600, "test utterances for CKA")
    num_units: int = option(64, "k-means clusters of each layer")
    standardize_units: bool = option(
        False, "mean 0 and variance 1 in every dimension of a layer before k-means (Whisper)"
    )
    least_alignment_score: float | None = option(
        None, "alignments of lower `score` are left out"
    )
    speakers_from: str = option("test", "train: the test speakers are those of the train split")
    strip_stress: bool = option(True, "39 phones instead of 69")
    output_dir: str = option("runs/evaluation", "for results and report")
    num_workers: int = option(os.cpu_count() or 1, "threads")
    bf16: bool = option(True, "autocast the encoders to bfloat16")
    device: str = option("cpu", "cpu or cuda")


def make_conditions(arguments: EvaluationScriptArguments) -> list:
    """Build the test conditions that the given folders allow."""
    conditions: list = [GaussianNoise(snr) for snr in arguments.snr_db]
    if arguments.noise:
        kinds = {"seen_noise": arguments.seen_split, "unseen_noise": arguments.unseen_split}
        if "split" not in load_corpus(arguments.noise).column_names:
            kinds = {"noise": None}
        for name, split in kinds.items():
            bank = NoiseBank(load_corpus(arguments.noise, split=split_name(split))["audio"])
            conditions += [BackgroundNoise(bank, snr, name=name) for snr in arguments.snr_db]
    responses = synthesize_rirs(arguments.simulated_rooms)
    if arguments.rooms:
        responses += [read_audio(cell) for cell in load_corpus(arguments.rooms)["audio"]]
    if responses:
        conditions.append(Reverberation(responses))
    return conditions


def make_probes(arguments: EvaluationScriptArguments, probe: ProbeArguments) -> list[Probe]:
    """Build the probes that were asked for.

    Raises:
        ValueError: there is no such probe.
    """
    unknown = sorted(set(arguments.probes) - set(PROBES))
    if unknown:
        raise ValueError(f"got --probes {unknown[0]}; expected some of {', '.join(PROBES)}.")
    made = {
        PhoneRecognition.name: lambda: PhoneRecognition(probe, probe.seed),
        CkaProbe.name: lambda: CkaProbe(arguments.cka_utterances),
        SpeakerIdentification.name: lambda: SpeakerIdentification(arguments.speakers_from),
        UnitProbe.name: lambda: UnitProbe(
            arguments.num_units, standardize=arguments.standardize_units
        ),
    }
    return [made.get(name, PROBES[name])() for name in PROBES if name in arguments.probes]


def read_test(arguments: EvaluationScriptArguments) -> tuple[EvaluationSet, bool]:
    """Return the utterances to measure on, and whether the corpus has splits.

    Raises:
        ValueError: there is no such split, or nothing usable.
    """
    count = arguments.test_utterances
    if arguments.test_split is not None:
        return read_split(arguments, split_name(arguments.test_split), count, keep=True), True
    try:
        return read_split(arguments, "test", count, keep=True), True
    except ValueError:
        if not Path(arguments.corpus).exists() or "split" in load_corpus(arguments.corpus).features:
            raise
    logger.info("The corpus has no column `split`: all of it is measured, nothing is trained.")
    return read_split(arguments, None, count, keep=True), False


def read_train(arguments: EvaluationScriptArguments) -> EvaluationSet | None:
    """Return the utterances to learn on; None where there are none and none were asked for."""
    count = arguments.train_utterances
    if arguments.train_split is not None:
        split = split_name(arguments.train_split)
        return read_split(arguments, split, count, keep=False) if split else None
    try:
        return read_split(arguments, "train", count, keep=False)
    except ValueError as error:
        logger.info("Nothing is trained: %s", error)
        return None


def read_split(
    arguments: EvaluationScriptArguments, split: str | None, count: int | None, keep: bool
) -> EvaluationSet:
    """Return one split of the corpus, or a deterministic subset of it."""
    # Decoding now leaves damaged and silent files out, instead of stopping at them later.
    corpus = load_corpus(
        arguments.corpus, split, decode=count is None,
        segment_seconds=arguments.segment_seconds or None,
    )  # fmt: skip
    return EvaluationSet.from_corpus(
        corpus, arguments.strip_stress, keep, arguments.least_alignment_score
    ).subset(count)


def name_encoders(arguments: EvaluationScriptArguments) -> list[str]:
    """Return how tables call the encoders, each found in a folder or on the Hub.

    Raises:
        ValueError: no encoders or corpus were given, an encoder does not exist, or names repeat.
    """
    if not arguments.encoders or not arguments.corpus:
        raise ValueError("give --encoders and --corpus; see the top of this file.")
    names = arguments.names or short_names(arguments.encoders)
    if len(set(names)) != len(arguments.encoders):
        raise ValueError(f"the encoders are called {names}; give --names, all different.")
    arguments.encoders = [
        path if needs_no_model(path) else resolve_encoder(path) for path in arguments.encoders
    ]
    return names


def prepare(
    arguments: EvaluationScriptArguments, probe: ProbeArguments, names: list[str]
) -> Evaluation:
    """Read the corpus and check everything that can be checked before the first measurement.

    Raises:
        ValueError: a setting, the corpus or an encoder cannot be used.
    """
    check_device(arguments.device)
    probes, conditions = make_probes(arguments, probe), make_conditions(arguments)
    test, has_splits = read_test(arguments)
    train = read_train(arguments) if has_splits else None
    evaluation = Evaluation(
        arguments.output_dir, test, conditions, probes, train, num_workers=arguments.num_workers
    )
    for path, name in zip(arguments.encoders, names, strict=True):
        encoder_features = load_features(path, name, arguments.bf16)
        evaluation.check_encoder(name, encoder_features.fingerprint())
    return evaluation


def write_results(evaluation: Evaluation, output: Path) -> str:
    """Write the long table, the tables to read and the report; return the tables."""
    table = to_table(evaluation.cells())
    text = "\n\n".join(section.to_markdown() for section in sections(table))
    text += "".join(f"\n\n{sentence}" for sentence in evaluation.left_out)
    write_text(output / "results.csv", table.to_csv(index=False))
    write_text(output / "results.md", text + "\n")
    evaluation_report(table, TITLE, SUMMARY, evaluation.left_out).write(output / "report.html")
    return text


def main() -> None:
    """Run the evaluation and print its tables."""
    arguments, probe = parse_arguments(EvaluationScriptArguments, ProbeArguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the parallelism
    with exit_on_user_error():
        names = name_encoders(arguments)
        evaluation = prepare(arguments, probe, names)
    for path, name in zip(arguments.encoders, names, strict=True):
        with exit_on_user_error(WHILE_RUNNING):
            evaluation.run(load_features(path, name, arguments.bf16, arguments.device))
        text = write_results(evaluation, Path(arguments.output_dir))
    print(text)


if __name__ == "__main__":
    main()
