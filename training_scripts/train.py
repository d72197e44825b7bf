"""Train an encoder: Spin, R-Spin, LASER, SCORE, distillation, masked prediction, or CTC.

    python training_scripts/train.py --objective rspin \\
        training_scripts/configs/rspin_wavlm_base_32_ap40k.yaml \\
        --noise musan_folder --pseudo_labels runs/labels/pieces --output_dir runs/rspin

Stopped or killed at any moment, the same command goes on where it stopped. Several GPUs: start it
with `torchrun --nproc_per_node N`. Options: `--objective NAME --help`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module

from hf_rspin.training.cli import (
    WHILE_RUNNING,
    exit_on_user_error,
    parse_arguments,
    show_help,
)
from hf_rspin.training.help_text import HELP_OPTIONS

TRAINING = "hf_rspin.training"
ADAPTER = "hf_rspin.adapters.arguments:AdapterArguments"
ADAPTER_OPTIONS = "hf_rspin.adapter_options:AdapterOptions"  # the same without peft, for `--help`
METHODS = ("laser", "score")  # two objectives of the same options


@dataclass(frozen=True)
class Objective:
    """Where an objective's parts are, as `module:name`; they are imported when they are needed.

    Attributes:
        arguments: dataclasses of its options beside those of optimisation.
        optimization: options of optimisation, for `--help`.
        training_arguments: the same as `TrainingArguments`.
        build: makes what `run` takes of one instance of each.
        run: trains and saves.
    """

    arguments: tuple[str, ...]
    optimization: str
    training_arguments: str
    build: str
    run: str = f"{TRAINING}.run:run_training"


def _two_views(
    kind: str, views: str, model: str, *more: str, build: str
) -> Objective:
    names = ("TrainingCorpusArguments", views, model)
    arguments = [f"{TRAINING}.arguments:{name}" for name in names]
    return Objective(
        (*arguments, ADAPTER, *(f"{TRAINING}.arguments:{name}" for name in more)),
        f"{TRAINING}.optimization:{kind}Options",
        f"{TRAINING}.training_arguments:{kind}TrainingArguments",
        f"{TRAINING}.run:{build}",
    )


OBJECTIVES = {
    "spin": _two_views("TwoView", "ViewArguments", "ModelArguments", build="build_spin"),
    "rspin": _two_views(
        "TwoView", "ViewArguments", "ModelArguments", "RSpinArguments", build="build_rspin"
    ),
    "rspin_laser": _two_views(
        "TwoView", "ViewArguments", "RSpinLaserModelArguments", "RSpinArguments",
        build="build_rspin",
    ),
    "laser": _two_views("Laser", "LaserViewArguments", "LaserModelArguments", build="build_laser"),
    "score": _two_views("Laser", "LaserViewArguments", "LaserModelArguments", build="build_laser"),
    "masked_prediction": Objective(
        (f"{TRAINING}.masked_prediction_arguments:MaskedPredictionArguments",),
        f"{TRAINING}.optimization:MaskedPredictionOptions",
        f"{TRAINING}.training_arguments:MaskedPredictionTrainingArguments",
        f"{TRAINING}.masked_prediction:build_masked_prediction",
        f"{TRAINING}.masked_prediction:run_masked_prediction",
    ),
    "distill": Objective(
        ("hf_rspin.distillation.arguments:DistillationArguments",),
        f"{TRAINING}.optimization:DistillationOptions",
        f"{TRAINING}.training_arguments:DistillationTrainingArguments",
        "hf_rspin.distillation.run:build_distillation",
        "hf_rspin.distillation.run:run_distillation",
    ),
    "elastic": Objective(
        ("hf_rspin.elastic.arguments:ElasticArguments",),
        f"{TRAINING}.optimization:DistillationOptions",
        f"{TRAINING}.training_arguments:DistillationTrainingArguments",
        "hf_rspin.elastic.run:build_elastic",
        "hf_rspin.elastic.run:run_elastic",
    ),
    "ctc": Objective(
        ("hf_rspin.ctc.arguments:CtcCorpusArguments", "hf_rspin.ctc.arguments:CtcModelArguments",
         ADAPTER),
        "hf_rspin.ctc.arguments:CtcOptions",
        "hf_rspin.ctc.training_arguments:CtcTrainingArguments",
        "hf_rspin.ctc.run:build_fine_tune",
        "hf_rspin.ctc.run:fine_tune",
    ),
}  # fmt: skip


def main(objective: str | None = None) -> None:
    """Build, train, save.

    Args:
        objective: a key of `OBJECTIVES`; None for that of the command line.
    """
    given = sys.argv[1:]
    if objective is None:
        objective, given = take_objective(given)
    chosen = OBJECTIVES[objective]
    if not HELP_OPTIONS.isdisjoint(given):
        everything = "--help_all" in given
        last = chosen.training_arguments if everything else chosen.optimization
        names = [ADAPTER_OPTIONS if name == ADAPTER else name for name in chosen.arguments]
        show_help(*map(_load, (*names, last)), everything=everything)
    _load("hf_rspin.device:use_large_allocations")()
    with exit_on_user_error():
        classes = map(_load, (*chosen.arguments, chosen.training_arguments))
        arguments = parse_arguments(*classes, arguments=given)
        _load(f"{TRAINING}.run:show_progress")()
        _load("transformers:set_seed")(arguments[-1].seed)
        built = _load(chosen.build)(*arguments)
    with exit_on_user_error(WHILE_RUNNING):
        _load(chosen.run)(built)


def take_objective(given: list[str]) -> tuple[str, list[str]]:
    """Return the objective that a command line names, and the rest of it.

    Raises:
        SystemExit: it names none that is known.
    """
    for place, text in enumerate(given):
        name, equals, value = text.partition("=")
        if name == "--objective":
            rest = given[:place] + given[place + (1 if equals else 2) :]
            value = value if equals else "".join(given[place + 1 : place + 2])
            if value in METHODS:
                rest.append(f"--method={value}")
            if value in OBJECTIVES:
                return value, rest
            sys.exit(f"--objective is {value!r}; expected one of {', '.join(OBJECTIVES)}.")
    if not HELP_OPTIONS.isdisjoint(given):
        sys.stdout.write(f"{__doc__}\nObjectives: {', '.join(OBJECTIVES)}.\n")
        sys.exit(0)
    sys.exit(f"no objective was given; pass --objective with one of {', '.join(OBJECTIVES)}.")


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


if __name__ == "__main__":
    main()
