"""Check a whole run before its first step, and say everything that is wrong at once."""

from __future__ import annotations

import logging
from pathlib import Path

from accelerate.utils import gather_object
from transformers import PreTrainedModel

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE
from hf_rspin.data.dataset import TwoViewDataset
from hf_rspin.data.preflight import check_batches, check_examples, check_labels, raise_problems
from hf_rspin.models.configuration import SpinFields
from hf_rspin.training.arguments import TwoViewTrainingArguments
from hf_rspin.training.checkpoints import WEIGHT_FILES, checkpoints, is_torn
from hf_rspin.views import RSpinViews

logger = logging.getLogger(__name__)


def check_run(
    model: PreTrainedModel,
    args: TwoViewTrainingArguments,
    dataset: TwoViewDataset | None,
    resuming: bool,
) -> None:
    """Refuse a run that cannot work; warn about one that will work badly.

    Raises:
        PreflightError: with every reason.
    """
    if dataset is None:
        raise_problems(["There is no train_dataset: pass a TwoViewDataset."])
    problems = check_devices(args)
    problems += [] if resuming else check_output_dir(args)
    problems += check_batches(dataset, args.batch_seconds, args.world_size)
    problems += check_labels(
        dataset, model.config.num_pseudo_labels, model.config.auxiliary_loss_weight > 0
    )
    problems += check_losses(model.config)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        problems.append("No parameter of the model trains: unfreeze some.")
    if not problems:
        problems += check_examples(dataset)
    raise_problems(problems)
    _advise(model, args, dataset)


def check_losses(config: SpinFields) -> list[str]:
    """Return why a model with this config has nothing to learn."""
    has_labels = config.num_pseudo_labels is not None and config.auxiliary_loss_weight > 0
    if config.spin_loss_weight > 0 or has_labels:
        return []
    return [
        "Both losses are off: set spin_loss_weight above 0, or give pseudo-labels and set "
        "auxiliary_loss_weight above 0."
    ]


def check_devices(args: TwoViewTrainingArguments) -> list[str]:
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
        PreflightError: the corpus was listed differently.
    """
    seen = gather_object([(len(dataset), dataset.full_durations.tobytes())])
    if len(set(seen)) > 1:
        counts = ", ".join(str(count) for count, _ in seen)
        raise_problems(
            [f"The processes see different corpora ({counts} utterances): give every one the same "
             "files, and do not change them while the processes start."]
        )  # fmt: skip


def check_output_dir(args: TwoViewTrainingArguments) -> list[str]:
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


def _advise(
    model: PreTrainedModel, args: TwoViewTrainingArguments, dataset: TwoViewDataset
) -> None:
    """Warn about what runs but is hardly meant."""
    if isinstance(dataset.views, RSpinViews) and dataset.views.noise_bank is None:
        logger.warning("RSpinViews has no noise sources: both views stay without noise.")
    if args.frozen_dropout and not model.frozen_modules():
        logger.warning("frozen_dropout has no effect: nothing is frozen; set num_trainable_layers.")
    frames = min(args.batch_seconds, float(dataset.durations.sum())) * SAMPLING_RATE / FRAME_SHIFT
    if frames < model.config.codebook_size:
        logger.warning(
            "A batch of %g s has about %d frames for %d codes: codes cannot be used evenly; raise "
            "batch_seconds.", args.batch_seconds, frames, model.config.codebook_size,
        )  # fmt: skip
    if args.max_steps > 0 and args.get_warmup_steps(args.max_steps) >= args.max_steps:
        logger.warning(
            "The warm-up (%d updates) takes the whole run (%d): the learning rate never falls.",
            args.get_warmup_steps(args.max_steps), args.max_steps,
        )  # fmt: skip
