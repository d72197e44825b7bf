"""Check a run of LASER or SCORE before its first step, and say everything that is wrong at once."""

from __future__ import annotations

import logging

import numpy as np

from hf_rspin.data.checks import check_batches, check_examples, raise_problems
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.models import LaserHubertModel, LaserWavLMModel
from hf_rspin.training.laser_arguments import LaserTrainingArguments
from hf_rspin.training.preflight import check_devices, check_output_dir
from hf_rspin.views import LaserViews

logger = logging.getLogger(__name__)

LEAST_SECONDS = 0.05  # of the second view; a frame takes 0.025, and headers are not exact


def check_laser_run(
    model: LaserHubertModel | LaserWavLMModel,
    args: LaserTrainingArguments,
    dataset: TwoViewDataset | None,
    resuming: bool,
) -> None:
    """Refuse a run that cannot work; warn about one that will work badly.

    Raises:
        PreflightError: with every reason.
    """
    if dataset is None:
        raise_problems(["There is no train_dataset: pass a TwoViewDataset with LaserViews."])
    if not isinstance(dataset.views, LaserViews):
        raise_problems(["The views of train_dataset are not LaserViews: build it with those."])
    problems = check_devices(args)
    problems += [] if resuming else check_output_dir(args)
    slowest = min(1.0, *dataset.views.speeds)
    problems += check_batches(dataset, args.batch_seconds, args.world_size, slowest)
    problems += _check_second_view(dataset)
    if dataset.frame_labels is not None:
        problems.append("The data has frame labels, which LASER does not use: leave them out.")
    if not any(parameter.requires_grad for parameter in model.base_model.parameters()):
        problems.append("No parameter of the encoder trains: raise num_trainable_layers.")
    noise = dataset.views.noise
    if args.lower_states_cache and noise is not None and noise.both_views:
        problems.append(
            "lower_states_cache keeps what is the same in every epoch, but the first view gets "
            "noise: leave out one of them."
        )
    if not problems:
        problems += check_examples(dataset)
    raise_problems(problems)
    _advise(args, dataset)


def _check_second_view(dataset: TwoViewDataset) -> list[str]:
    """Return why an utterance would have no frame left when it is played faster."""
    fastest = max(dataset.views.speeds)
    shortest = float(dataset.durations.min(initial=np.inf))
    if shortest / fastest >= LEAST_SECONDS:
        return []
    return [
        f"An utterance of {shortest:.3f} s has no frame at speed {fastest:g}: set min_seconds to "
        f"{fastest * LEAST_SECONDS:.2f} or more."
    ]


def _advise(args: LaserTrainingArguments, dataset: TwoViewDataset) -> None:
    """Warn about what runs but is hardly meant."""
    if args.lower_states_cache:
        cropped = int(np.sum(dataset.full_durations > dataset.max_seconds))
        if cropped:
            logger.warning(
                "%d utterances are longer than max_seconds=%g: another crop in every epoch, which "
                "the cache of lower states never sees again.", cropped, dataset.max_seconds,
            )  # fmt: skip
    if args.max_steps > 0 and args.get_warmup_steps(args.max_steps) >= args.max_steps:
        logger.warning(
            "The warm-up (%d updates) takes the whole run (%d): the learning rate never falls.",
            args.get_warmup_steps(args.max_steps), args.max_steps,
        )  # fmt: skip
