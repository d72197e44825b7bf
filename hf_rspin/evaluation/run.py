"""Run an evaluation from the arguments of a command line."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from hf_rspin.adapters import is_adapter
from hf_rspin.cost import RunCost
from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.lexicon import Lexicon
from hf_rspin.device import check_device
from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.conditions import (
    CLEAN,
    SYNTHETIC,
    Distortion,
    check_names,
    make_possible_conditions,
)
from hf_rspin.evaluation.evaluate import Evaluation
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.features import load_features, needs_no_model, precision_of
from hf_rspin.evaluation.precision import folder_precision
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes import Probe, make_probes
from hf_rspin.evaluation.reading import (
    read_dev,
    read_test,
    read_train,
    with_phones_of,
    without_measured,
)
from hf_rspin.evaluation.results import Extra, write_results
from hf_rspin.evaluation.shards import shard_of, short_names
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.sharding import shard_of_process
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error
from hf_rspin.training.corpus_arguments import split_name

logger = logging.getLogger(__name__)

FEATURE_DTYPES = {"float16": torch.float16, "float32": torch.float32}
SUPERB_HIDDEN_SIZE = 1024  # of the LSTMs of ASR, in R-Spin too


@dataclass(frozen=True)
class Plan:
    """What one process measures.

    Args:
        evaluation: probes, conditions and utterances.
        encoders: path or name of features per name in tables.
        conditions: labels of those to run, per name.
    """

    evaluation: Evaluation
    encoders: dict[str, str]
    conditions: dict[str, list[str]]


def run_evaluation(
    arguments: EvaluationScriptArguments,
    settings: ProbeArguments,
    special: Mapping[str, Mapping[str, Any]] | None = None,
    extra: Extra | None = None,
) -> str:
    """Measure what has no cell yet, and write the results after every encoder; return the tables.

    Args:
        arguments: what to compare, on what.
        settings: of the probes that are trained.
        special: settings of some probes, by their name, that neither of the two has.
        extra: what stands in the results beside what is measured here.

    Mistakes that a user can mend end the process with one sentence, see `exit_on_user_error`.
    """
    with exit_on_user_error():
        plan = prepare(arguments, settings, special)
    evaluation, text = plan.evaluation, ""
    if not plan.conditions:
        return (
            f"Shard {arguments.shard} of {arguments.num_shards} has nothing to measure: there are "
            "fewer pairs of encoder and condition than shards."
        )
    part = f"{arguments.shard}_of_{arguments.num_shards}" if arguments.num_shards > 1 else ""
    def write() -> str:
        with exit_on_user_error(("OSError", "MixedResultsError")):
            return write_results(
                evaluation.cells(), Path(arguments.output_dir), evaluation.left_out,
                arguments.reference, extra,
            )  # fmt: skip

    is_written = True
    try:
        for name, conditions in plan.conditions.items():
            with exit_on_user_error((*WHILE_RUNNING, "FeatureError", "NoSpaceError", "OSError")):
                encoder = load_features(
                    plan.encoders[name], name, arguments.bf16, arguments.device
                )
                about = _adaptation(plan.encoders[name])
                is_written = False
                evaluation.run(encoder, conditions=conditions, part=part, about=about)
            if evaluation.measured:  # else the next or the last one: the report takes seconds
                text, is_written = write(), True
    finally:  # an encoder that fails does not take the report of those before it
        if not is_written and evaluation.cells():
            text = write()
    return text


def _adaptation(path: str) -> dict[str, Any]:
    """Return what the folder of an encoder tells of its training."""
    try:
        return {"adaptation_hours": RunCost.read(path).processed_hours}
    except (OSError, ValueError):  # not made here, or by an earlier version
        return {}


def prepare(
    arguments: EvaluationScriptArguments,
    settings: ProbeArguments,
    special: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
    """Read the corpus and check everything that can be checked before the first measurement.

    Raises:
        ValueError: a setting, the corpus or an encoder cannot be used.
    """
    encoders = name_encoders(arguments)
    arguments.device = check_device(arguments.device)
    check_writable(arguments.output_dir)
    probes = _probes(arguments, settings, special or {})
    check_names(arguments.conditions)  # before minutes of reading
    if arguments.reference is not None and arguments.reference not in encoders:
        raise ValueError(
            f"got --reference {arguments.reference!r}; expected one of {', '.join(encoders)}."
        )
    lexicon = arguments.lexicon and Lexicon.read(arguments.lexicon, arguments.strip_stress)
    arguments.shard, arguments.num_shards = shard_of_process(
        arguments.shard, arguments.num_shards
    )
    if arguments.dev:
        test, train = read_dev(arguments)
    else:
        test, has_splits = read_test(arguments)
        train = read_train(arguments) if has_splits else None
    train, left_out = without_measured(train, test)
    if lexicon:
        test = with_phones_of(test, lexicon)
        train = train and with_phones_of(train, lexicon)
    conditions, impossible = _conditions(arguments, test, train)
    warn_of_unused_levels(arguments, conditions)
    name = Path(arguments.corpus).name + (" (held-out training speakers)" if arguments.dev else "")
    if lexicon:
        name += f" (phones of {Path(arguments.lexicon).name})"
    about = {"corpus": name, "device": arguments.device, "labelled": test.labelled()}
    if not arguments.dev:
        about["test_split"] = arguments.test_split or ("test" if has_splits else "none")
    if arguments.least_alignment_score is not None:
        about["least_alignment_score"] = arguments.least_alignment_score
    if test.speakers is not None:
        about["num_speakers"] = len(set(test.speakers) - {None})
    evaluation = Evaluation(
        arguments.output_dir, test, conditions, probes, train,
        num_workers=arguments.num_workers, about=about, keep_features=arguments.keep_features,
        encoders=list(encoders), dtype=FEATURE_DTYPES[arguments.feature_dtype],
    )  # fmt: skip
    left_out += impossible
    for sentence in left_out:
        logger.warning(sentence)
    evaluation.left_out += left_out
    arguments.bf16 = folder_precision(arguments.output_dir, arguments.bf16, arguments.device)
    for name, path in encoders.items():
        features = load_features(path, name, arguments.bf16)
        evaluation.check_encoder(name, features.fingerprint(), precision_of(features))
    shares = shard_of(
        list(encoders), evaluation.conditions, arguments.shard, arguments.num_shards
    )
    return Plan(evaluation, encoders, shares)


def check_writable(folder: str) -> None:
    """Refuse an output folder that cannot be written to, before hours are spent.

    Raises:
        ValueError: it, or the folder that it is to be made in, is no folder or is read-only.
    """
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents)
                 if path.exists())  # fmt: skip
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(
            f"--output_dir {folder} cannot be written ({there} is "
            f"{'read-only' if there.is_dir() else 'a file'}): name another folder."
        )


def name_encoders(arguments: EvaluationScriptArguments) -> dict[str, str]:
    """Return the encoders by the names of the tables, each found in a folder or on the Hub.

    Raises:
        ValueError: no encoders or corpus were given, an encoder does not exist, or names repeat.
    """
    if not arguments.encoders or not arguments.corpus:
        raise ValueError("give --encoders and --corpus; see --help.")
    names = arguments.names or short_names(arguments.encoders)
    if len(set(names)) != len(arguments.encoders):
        raise ValueError(f"the encoders are called {names}; give --names, all different.")
    paths = [
        path if needs_no_model(path) or is_adapter(path) else resolve_encoder(path)
        for path in arguments.encoders
    ]
    return dict(zip(names, paths, strict=True))


def _probes(
    arguments: EvaluationScriptArguments,
    settings: ProbeArguments,
    special: Mapping[str, Mapping[str, Any]],
) -> list[Probe]:
    if arguments.asr_normalization not in ("whisper", "none"):
        raise ValueError(
            f"got --asr_normalization {arguments.asr_normalization!r}; expected whisper, for "
            "English, or none, for other languages."
        )
    if arguments.feature_dtype not in FEATURE_DTYPES:
        raise ValueError(
            f"got --feature_dtype {arguments.feature_dtype}; expected one of "
            f"{', '.join(FEATURE_DTYPES)}."
        )
    if arguments.seeds < 1:
        raise ValueError(f"got --seeds {arguments.seeds}; expected how many, 1 or more.")
    shared: dict[str, dict[str, Any]] = {
        "cka": {"max_utterances": arguments.cka_utterances},
        "pr": {"device": arguments.device},
        "asr": {
            "device": arguments.device, "hidden_size": arguments.asr_hidden_size,
            "whisper_normalization": arguments.asr_normalization == "whisper",
        },
        "sid": {"device": arguments.device, "learn_from": arguments.speakers_from},
        "units": {"num_units": arguments.num_units, "standardize": arguments.standardize_units},
        "voice": {"num_units": arguments.num_units, "standardize": arguments.standardize_units},
        "segmentation": {"num_units": arguments.num_units},
        "abx": {"context": arguments.abx_context},
        "qbe": {"min_letters": arguments.min_letters},
        "retrieval": {"min_letters": arguments.min_letters},
    }
    merged = {name: {**shared.get(name, {}), **special.get(name, {})}
              for name in {*shared, *special}}  # fmt: skip
    if arguments.recipe:
        for name in ("pr", "asr", "sid"):
            recipe = ProbeArguments.recipe(arguments.recipe, name)
            merged[name]["arguments"] = recipe.with_changes_of(settings)
        merged["asr"]["hidden_size"] = SUPERB_HIDDEN_SIZE
    seeds = range(settings.seed, settings.seed + arguments.seeds)
    return make_probes(arguments.probes, settings, seeds, merged)


def _conditions(
    arguments: EvaluationScriptArguments, test: EvaluationSet, train: EvaluationSet | None
) -> tuple[list[Distortion], list[str]]:
    """Build the conditions asked for, or those that the given folders allow; say what cannot be."""
    names: Sequence[str] = arguments.conditions
    if not names:
        names = [CLEAN, "gaussian"]
        if arguments.noise:
            kinds = ["noise_seen", "noise_unseen"]
            names += kinds if _has_kinds(arguments.noise) else ["noise"]
        if arguments.rooms or arguments.simulated_rooms:
            names.append("reverb")
    return make_possible_conditions(
        names, arguments.snr, arguments.severities, arguments.noise, arguments.rooms,
        seen_split=split_name(arguments.seen_split),
        unseen_split=split_name(arguments.unseen_split),
        simulated_rooms=arguments.simulated_rooms,
        babble_pool=train if arguments.dev else test,  # few speakers are held out
        speakers=dict(zip(test.ids, test.speakers or (), strict=False)),
    )  # fmt: skip


def warn_of_unused_levels(
    arguments: EvaluationScriptArguments, conditions: Sequence[Distortion]
) -> None:
    """Warn of SNRs that were asked for where no condition has noise."""
    usual = next(f for f in fields(arguments) if f.name == "snr").default_factory()
    if arguments.snr != usual and all(condition.snr_db is None for condition in conditions):
        names = ", ".join(dict.fromkeys(condition.name for condition in conditions)) or CLEAN
        logger.warning(
            "--snr changes nothing here, as no condition has noise (%s): add gaussian, babble, or "
            "noise with --noise.", names,
        )  # fmt: skip


def _has_kinds(noise: str) -> bool:
    return noise == SYNTHETIC or "split" in load_corpus(noise).column_names
