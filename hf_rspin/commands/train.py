"""Train an encoder: Spin, R-Spin, LASER, SCORE, distillation, masked prediction, or CTC.

    hf-rspin train --objective rspin rspin_small.yaml --corpus speech --noise noise

Stopped or killed at any moment, the same command goes on where it stopped. Several GPUs:
`torchrun --nproc_per_node N -m hf_rspin train ...`. Options: `--objective NAME --help`.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from importlib import import_module

from hf_rspin.training.cli import (
    WHILE_RUNNING,
    exit_on_user_error,
    parse_arguments,
    refuse_unknown,
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
        what: one sentence for `--help`.
        example: of a command, behind `--objective NAME`.
        arguments: dataclasses of its options beside those of optimisation.
        optimization: options of optimisation, for `--help`.
        training_arguments: the same as `TrainingArguments`.
        build: makes what `run` takes of one instance of each.
        run: trains and saves.
    """

    what: str
    example: str
    arguments: tuple[str, ...]
    optimization: str
    training_arguments: str
    build: str
    run: str = f"{TRAINING}.run:run_training"


def _two_views(
    what: str, example: str, kind: str, views: str, model: str, *more: str, build: str
) -> Objective:
    first = [
        f"{TRAINING}.corpus_arguments:TrainingCorpusArguments",
        f"{TRAINING}.view_arguments:{views}",
        f"{TRAINING}.model_arguments:{model}",
    ]
    return Objective(
        what,
        example,
        (*first, ADAPTER, *(f"{TRAINING}.model_arguments:{name}" for name in more)),
        f"{TRAINING}.optimization:{kind}Options",
        f"{TRAINING}.training_arguments:{kind}TrainingArguments",
        f"{TRAINING}.run:{build}",
    )


_LASER = "Train LASER: the second view at another speed and pitch, aligned by soft-DTW."
_SCORE = "Train SCORE, LASER's baseline: both views aligned by soft-DTW, a frozen teacher for one."
OBJECTIVES = {
    "spin": _two_views(
        "Train Spin: the second view in another voice, the top layers give both the same code.",
        "spin_small.yaml --corpus speech",
        "TwoView", "ViewArguments", "ModelArguments", build="build_spin",
    ),
    "rspin": _two_views(
        "Train R-Spin: both views noisy, the second in another voice, pseudo-labels beside codes.",
        "rspin_small.yaml --corpus speech --noise noise --pseudo_labels runs/labels/pieces",
        "TwoView", "ViewArguments", "ModelArguments", "RSpinArguments", build="build_rspin",
    ),
    "rspin_laser": _two_views(
        "Train R-Spin and LASER on the same two views.",
        "rspin_laser_small.yaml --corpus speech --noise noise --pseudo_labels runs/labels/pieces",
        "TwoView", "ViewArguments", "RSpinLaserModelArguments", "RSpinArguments",
        build="build_rspin",
    ),
    "laser": _two_views(
        _LASER, "laser_small.yaml --corpus speech",
        "Laser", "LaserViewArguments", "LaserModelArguments", build="build_laser",
    ),
    "score": _two_views(
        _SCORE, "score_small.yaml --corpus speech",
        "Laser", "LaserViewArguments", "LaserModelArguments", build="build_laser",
    ),
    "masked_prediction": Objective(
        "Pre-train an encoder from scratch by masked prediction: one iteration per call.",
        "pretrain_hubert_small_1.yaml --corpora speech more_speech",
        (f"{TRAINING}.masked_prediction_arguments:MaskedPredictionArguments",),
        f"{TRAINING}.optimization:MaskedPredictionOptions",
        f"{TRAINING}.training_arguments:MaskedPredictionTrainingArguments",
        f"{TRAINING}.masked_prediction:build_masked_prediction",
        f"{TRAINING}.masked_prediction:run_masked_prediction",
    ),
    "distill": Objective(
        "Distil one or two teachers into a smaller encoder.",
        "distill_small.yaml --teacher bundled --student copy:2 --corpora speech",
        ("hf_rspin.distillation.arguments:DistillationArguments",),
        f"{TRAINING}.optimization:DistillationOptions",
        f"{TRAINING}.training_arguments:DistillationTrainingArguments",
        "hf_rspin.distillation.run:build_distillation",
        "hf_rspin.distillation.run:run_distillation",
    ),
    "elastic": Objective(
        "Train an elastic encoder: one HuBERT that holds many smaller ones (LightHuBERT).",
        "elastic_small.yaml --encoder bundled --teacher bundled --corpora speech",
        ("hf_rspin.elastic.arguments:ElasticArguments",),
        f"{TRAINING}.optimization:DistillationOptions",
        f"{TRAINING}.training_arguments:DistillationTrainingArguments",
        "hf_rspin.elastic.run:build_elastic",
        "hf_rspin.elastic.run:run_elastic",
    ),
    "ctc": Objective(
        "Fine-tune an encoder with CTC on transcribed speech: words, characters or phones.",
        "ctc_small.yaml --encoder runs/rspin --corpus speech --output_dir runs/ctc",
        ("hf_rspin.ctc.arguments:CtcCorpusArguments", "hf_rspin.ctc.arguments:CtcModelArguments",
         ADAPTER),
        "hf_rspin.ctc.arguments:CtcOptions",
        "hf_rspin.ctc.training_arguments:CtcTrainingArguments",
        "hf_rspin.ctc.run:build_fine_tune",
        "hf_rspin.ctc.run:fine_tune",
    ),
}  # fmt: skip


def introduction(objective: str) -> str:
    """Return what `--help` says first of an objective."""
    chosen = OBJECTIVES[objective]
    return f"""{chosen.what}

    hf-rspin train --objective {objective} \\
        {chosen.example}

Stopped or killed at any moment, the same command goes on where it stopped. Several GPUs:
`torchrun --nproc_per_node N -m hf_rspin train ...`. Configs: `hf-rspin configs`."""


def main(arguments: list[str] | None = None, objective: str | None = None) -> None:
    """Build, train, save.

    Args:
        arguments: the command line; default `sys.argv[1:]`.
        objective: a key of `OBJECTIVES`; None for that of the command line.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if objective is None:
        objective, given = take_objective(given)
    chosen = OBJECTIVES[objective]
    names = [ADAPTER_OPTIONS if name == ADAPTER else name for name in chosen.arguments]
    if not HELP_OPTIONS.isdisjoint(given):
        everything = "--help_all" in given
        last = chosen.training_arguments if everything else chosen.optimization
        show_help(*map(_load, (*names, last)), everything=everything, intro=introduction(objective))
    refuse_unknown(given, *map(_load, (*names, chosen.optimization)))
    _load("hf_rspin.device:use_large_allocations")()
    with exit_on_user_error():
        classes = map(_load, (*chosen.arguments, chosen.training_arguments))
        parsed = parse_arguments(*classes, arguments=given)
        _load(f"{TRAINING}.run:show_progress")()
        _load("transformers:set_seed")(parsed[-1].seed)
        built = _load(chosen.build)(*parsed)
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
        width = max(map(len, OBJECTIVES))
        lines = [
            textwrap.fill(
                one.what, 100, initial_indent=f"  {name:<{width}}  ",
                subsequent_indent=" " * (width + 4),
            )
            for name, one in OBJECTIVES.items()
        ]  # fmt: skip
        sys.stdout.write("\n".join([str(__doc__), "Objectives:\n", *lines, ""]))
        sys.exit(0)
    sys.exit(f"no objective was given; pass --objective with one of {', '.join(OBJECTIVES)}.")


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
