"""Check a whole run before its first step, and say everything that is wrong at once.

A check takes the trainer and returns what is wrong, each problem with its remedy; it warns about
what runs but is hardly meant. `SpeechTrainer` runs `general_checks` and those of its objective.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object
from transformers import TrainingArguments

from hf_rspin.adapters import adapted_model
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data.checks import check_batches, check_examples, check_labels, raise_problems
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.models.encoder import num_output_frames
from hf_rspin.models.spin_fields import SpinFields
from hf_rspin.training.checkpoints import WEIGHT_FILES, checkpoints, is_torn
from hf_rspin.training.speech_run import SpeechRun
from hf_rspin.views import LaserViews, RSpinViews

logger = logging.getLogger(__name__)

Check = Callable[[SpeechRun], list[str]]
LEAST_SECONDS = 0.05  # of LASER's second view; a frame takes 0.025, and headers are not exact
WITHOUT_EFFECT = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "train_sampling_strategy",
    "group_by_length", "length_column_name", "dataloader_drop_last", "label_smoothing_factor",
    "auto_find_batch_size", "remove_unused_columns", "label_names", "eval_accumulation_steps",
    "include_for_metrics", "batch_eval_metrics", "prediction_loss_only",
)  # fmt: skip


def check_run(trainer: SpeechRun, checks: tuple[Check, ...], resuming: bool) -> None:
    """Refuse a run that cannot work, on every process alike.

    Raises:
        ConfigurationError: with every reason.
    """
    if trainer.train_dataset is None:
        raise_problems(["There is no train_dataset: pass a data set."])
    problems = check_devices(trainer.args)
    problems += [] if resuming else check_output_dir(trainer.args)
    for check in (*checks, check_weights, check_evaluation, check_masking):
        problems += check(trainer)
    if not problems and isinstance(trainer.train_dataset, TwoViewDataset):
        problems += check_examples(trainer.train_dataset)
    gathered = gather_object(problems)  # what one process found stops all
    raise_problems(list(dict.fromkeys(gathered)))
    warn_of_flags(trainer)
    warn_of_warm_up(trainer.args)


def check_devices(args: TrainingArguments) -> list[str]:
    """Return why the devices cannot be used: one process would split batches over its GPUs.

    `nn.DataParallel` would compute the Sinkhorn targets on the share of each GPU and lose the
    named losses.
    """
    if args.n_gpu <= 1:
        return []
    return [
        f"One process sees {args.n_gpu} GPUs: start it with torchrun --nproc_per_node "
        f"{args.n_gpu}, or set CUDA_VISIBLE_DEVICES to one of them."
    ]


def check_same_data(dataset: TwoViewDataset) -> None:
    """Refuse processes that see other data: batches would overlap, or leave utterances out.

    All processes must call it together.

    Raises:
        ConfigurationError: the corpus was listed differently.
    """
    seen = gather_object([(len(dataset), dataset.full_durations.tobytes())])
    if len(set(seen)) > 1:
        counts = ", ".join(str(count) for count, _ in seen)
        raise_problems(
            [f"The processes see different corpora ({counts} utterances): give every one the same "
             "files, and do not change them while the processes start."]
        )  # fmt: skip


def check_output_dir(args: TrainingArguments) -> list[str]:
    """Return why `output_dir` may not be written to: it holds another run.

    A run that was killed while it wrote its first checkpoint left nothing to go on from: training
    deletes that checkpoint and begins again.
    """
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        return [f"output_dir {folder} is a file: name a folder."]
    found = [path.name for path in checkpoints(folder) if not is_torn(path)]
    found += [name for name in WEIGHT_FILES if (folder / name).is_file()]
    if not found or args.overwrite_output_dir:
        return []
    return [
        f"output_dir {folder} holds a run already ({found[0]}): resume it "
        "(resume_from_checkpoint=True), name another folder, or set overwrite_output_dir."
    ]


def check_weights(trainer: SpeechRun) -> list[str]:
    """Return why the weights cannot be trained: one is NaN or infinite."""
    for name, value in trainer.model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            return [f"The weight {name} holds NaN or infinity: load or save the model again."]
    return []


def check_something_trains(trainer: SpeechRun) -> list[str]:
    """Return why nothing would be learned: no parameter trains, or none of the encoder."""
    if not any(p.requires_grad for p in trainer.model.parameters()):
        return ["No parameter of the model trains: unfreeze some."]
    encoder = adapted_model(trainer.model).base_model
    if any(p.requires_grad for p in encoder.parameters()):
        return []
    return [
        "No parameter of the encoder trains that the loss depends on: raise num_trainable_layers, "
        "or let the loss read a higher layer (spin_layer, auxiliary_layer)."
    ]


def check_evaluation(trainer: SpeechRun) -> list[str]:
    """Return why evaluations during training would fail."""
    if trainer.args.eval_strategy == "no":
        return []
    if trainer.eval_dataset is None:
        return [
            f"eval_strategy is {trainer.args.eval_strategy.value}, but there is no eval_dataset: "
            "pass one, or leave eval_strategy out."
        ]
    wanted, found = type(trainer.train_dataset), type(trainer.eval_dataset)
    if not trainer.evaluates_batches or isinstance(trainer.eval_dataset, wanted):
        return check_examples(trainer.eval_dataset) if trainer.evaluates_batches else []
    return [f"eval_dataset is a {found.__name__}; expected a {wanted.__name__}."]


def check_masking(trainer: SpeechRun) -> list[str]:
    """Return why masking frames would fail at a short clip in the middle of the run."""
    model = adapted_model(trainer.model)
    if vars(model).get("_num_frozen_layers") is not None:
        return []  # the frozen layers run in eval mode, which masks nothing
    config = model.config.to_dict()
    masks = config.get("apply_spec_augment", True) and config.get("mask_time_prob", 0) > 0
    trains = any(p.requires_grad for p in model.base_model.parameters())
    seconds = trainer.train_dataset.durations
    if not masks or not trains or len(seconds) == 0 or "conv_stride" not in config:
        return []
    shortest = int(float(np.min(seconds)) * SAMPLING_RATE)
    frames = num_output_frames(shortest, model.config)
    if frames >= config["mask_time_length"]:
        return []
    return [
        f"SpecAugment masks {config['mask_time_length']} frames at a time, but the shortest "
        f"utterance has {frames}: lower mask_time_length, raise min_seconds, or switch "
        "apply_spec_augment off."
    ]


def check_two_views(trainer: SpeechRun) -> list[str]:
    """Return why Spin or R-Spin cannot be trained on this data."""
    model, args, dataset = adapted_model(trainer.model), trainer.args, trainer.train_dataset
    problems = check_batches(dataset, args.batch_seconds, args.world_size)
    problems += check_labels(
        dataset, model.config.num_pseudo_labels, model.config.auxiliary_loss_weight > 0
    )
    problems += _check_classes(dataset) + check_losses(model.config)
    problems += check_something_trains(trainer)
    if not dataset.views.keeps_timing:
        problems.append(
            "The views shift frames against each other, which Spin compares one by one: leave out "
            "transforms that change the length or the speed."
        )
    if isinstance(dataset.views, RSpinViews) and dataset.views.noise_bank is None:
        logger.warning("RSpinViews has no noise sources: both views stay without noise.")
    if args.frozen_dropout and not model.frozen_modules():
        logger.warning("frozen_dropout has no effect: nothing is frozen; set num_trainable_layers.")
    seconds = min(args.batch_seconds, float(dataset.durations.sum()))
    frames = num_output_frames(int(seconds * SAMPLING_RATE), model.config)
    codes = max(model.config.codebook_size, model.config.auxiliary_codebook_size or 0)
    if frames < codes:
        logger.warning(
            "A batch of %g s has about %d frames for %d codes: codes cannot be used evenly; raise "
            "batch_seconds.", args.batch_seconds, frames, codes,
        )  # fmt: skip
    return problems


def _check_classes(dataset: TwoViewDataset) -> list[str]:
    """Return why the labels teach nothing: they are all the same."""
    labels = dataset.frame_labels
    if labels is None or len(dataset) == 0:
        return []
    seen: set[int] = set()
    for key in dataset.corpus["id"]:
        if str(key) in labels:
            seen.update(np.unique(labels[str(key)]).tolist())
        if len(seen - {-100}) > 1:
            return []
    if not seen:
        return []  # no labels at all, which `check_labels` says better
    return ["All pseudo-labels are the same class: make them again, from a model that has learned."]


def check_losses(config: SpinFields) -> list[str]:
    """Return why a model with this config has nothing to learn."""
    if config.loss_weights:
        return []
    return [
        "All losses are off: set spin_loss_weight above 0, or give pseudo-labels and set "
        "auxiliary_loss_weight above 0."
    ]


def check_pairs(trainer: SpeechRun) -> list[str]:
    """Return why LASER or SCORE cannot be trained on this data."""
    args, dataset = trainer.args, trainer.train_dataset
    if not isinstance(getattr(dataset, "views", None), LaserViews):
        return ["The views of train_dataset are not LaserViews: build it with those."]
    slowest = min(1.0, *dataset.views.speeds)
    problems = check_batches(dataset, args.batch_seconds, args.world_size, slowest)
    problems += _check_second_view(dataset)
    if dataset.frame_labels is not None:
        problems.append("The data has frame labels, which LASER does not use: leave them out.")
    problems += check_something_trains(trainer)
    if args.lower_states_cache and dataset.views.first_view_varies:
        problems.append(
            "lower_states_cache keeps what is the same in every epoch, but the first view gets "
            "noise or augmentations: leave out one of them."
        )
    config = adapted_model(trainer.model).config
    if config.alignment == "frames" and set(dataset.views.speeds) != {1.0}:
        problems.append(
            f"alignment frames compares frames one by one, but speeds are "
            f"{list(dataset.views.speeds)}: set speeds to 1.0, or align by soft_dtw."
        )
    if config.apply_spec_augment and config.mask_time_prob > 0 and args.num_trainable_layers:
        logger.warning("apply_spec_augment has no effect where lower layers are frozen.")
    cropped = int(np.sum(dataset.full_durations > dataset.max_seconds))
    if args.lower_states_cache and cropped:
        logger.warning(
            "%d utterances are longer than max_seconds=%g: another crop in every epoch, which "
            "the cache of lower states never sees again.", cropped, dataset.max_seconds,
        )  # fmt: skip
    return problems


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


def warn_of_flags(trainer: SpeechRun) -> None:
    """Name the stock arguments that were given and change nothing here."""
    args = trainer.args
    known = {f.name: f.default for f in fields(args) if f.default is not MISSING}
    given = [n for n in WITHOUT_EFFECT if n in known and getattr(args, n) != known[n]]
    if trainer.optimizer_cls_and_kwargs is not None and args.optim != known["optim"]:
        given.append("optim (use_adam is true)")
    if given:
        logger.warning("Without effect here: %s. Batches are batch_seconds long.", ", ".join(given))


def warn_of_warm_up(args: TrainingArguments) -> None:
    """Warn where the learning rate never falls."""
    if args.max_steps > 0 and args.get_warmup_steps(args.max_steps) >= args.max_steps:
        logger.warning(
            "The warm-up (%d updates) takes the whole run (%d): the learning rate never falls.",
            args.get_warmup_steps(args.max_steps), args.max_steps,
        )  # fmt: skip
