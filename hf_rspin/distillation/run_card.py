"""What the model card of a student says of its start and its data."""

from __future__ import annotations

from hf_rspin.data.selection.budget import Selection
from hf_rspin.distillation.arguments import DistillationArguments
from hf_rspin.distillation.batches import DistillationBatches
from hf_rspin.models.folders import is_bundled
from hf_rspin.publishing.model_card import NOT_RECORDED, ModelCardInfo
from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.training.run_card import portable


def card_of_student(
    arguments: DistillationArguments,
    batches: DistillationBatches,
    selection: Selection | None = None,
) -> ModelCardInfo:
    """Return what is known before training; see `info_of_run` for the rest."""
    return ModelCardInfo(
        method="Distillation" if arguments.distillation_weight > 0 else "Unit distillation",
        started_from=_start(arguments),
        training_data=_training_data(arguments, batches, selection),
    )


def _start(arguments: DistillationArguments) -> str:
    """Return in words what the student's weights were at the beginning."""
    teacher = _named(arguments.teacher[0])
    if arguments.student.startswith("copy:"):
        return f"the first {arguments.student.removeprefix('copy:')} layers of {teacher}"
    if arguments.student.endswith((".yaml", ".yml")):
        return "random weights"
    return _named(arguments.student)


def _named(encoder: str) -> str:
    if is_bundled(encoder):
        return "the small encoder in the package hf_rspin"
    return f"the encoder {portable(encoder)}"


def _training_data(
    arguments: DistillationArguments, batches: DistillationBatches, selection: Selection | None
) -> str:
    """Return a table of corpora and noise."""
    names = ", ".join(str(portable(name)) for name in arguments.corpora)
    split = split_name(arguments.corpus_split)
    if split:
        names += f", split {split}"
    if arguments.exclude_splits:
        names += f", without the splits {', '.join(arguments.exclude_splits)}"
    hours = float(batches.full_durations.sum()) / 3600
    amount = f"{len(batches.full_durations):,} utterances, {hours:.3g} h"
    if selection is not None:
        amount += f"; kept {selection}"
    rows = ["| corpora | hours, speakers | licence |", "| :-- | :-- | :-- |"]
    rows.append(f"| {names} | {amount}, speakers {NOT_RECORDED} | {NOT_RECORDED} |")
    if arguments.noise:
        rows.append(f"| {portable(arguments.noise)} | as noise | {NOT_RECORDED} |")
    return "\n".join(rows)
