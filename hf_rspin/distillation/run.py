"""Distil teachers into a student: compute their features once, train, save the plain encoder."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data import SkippedFiles
from hf_rspin.data.collator import BatchInfo
from hf_rspin.data.corpora import load_corpora
from hf_rspin.distillation.arguments import DistillationArguments
from hf_rspin.distillation.batches import DistillationBatches
from hf_rspin.distillation.input_noise import InputNoise
from hf_rspin.distillation.run_card import card_of_student
from hf_rspin.distillation.students import build_student, save_student
from hf_rspin.distillation.teacher_cache import TeacherCache, cache_teacher
from hf_rspin.distillation.teachers import Teacher, check_layers, load_teacher
from hf_rspin.models.folders import (
    feature_extractor_of,
    resolve_encoder,
    wants_normalized,
)
from hf_rspin.models.modeling_distillation import DistillationModel
from hf_rspin.publishing import save_companions
from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.training.freezing import scale_gradient
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import corpus_key, weights_key
from hf_rspin.training.run import leave_process_group, resume_training, save_history
from hf_rspin.training.run_card import info_of_run
from hf_rspin.training.sampling import ReadyBatches
from hf_rspin.training.selection import keep_selection, select_rows
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import DistillationTrainingArguments
from hf_rspin.units import FrameLabels
from hf_rspin.views import NoiseBank

logger = logging.getLogger(__name__)


def build_distillation(
    arguments: DistillationArguments, training: DistillationTrainingArguments
) -> SpeechTrainer:
    """Compute what is missing of the teachers' features, and return the trainer.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    arguments.check()
    if training.max_steps < 1:
        raise ValueError(f"--max_steps is {training.max_steps}; expected the number of updates.")
    layers = arguments.layers_of_teachers()
    skipped = SkippedFiles(arguments.strict)
    corpus = read_corpora(arguments, skipped)
    labels = FrameLabels.load(arguments.units) if arguments.units else None
    teachers = load_teachers(arguments, layers, training.device)
    # everything that can be refused is, before hours of teachers at work
    dims = [teacher.dim for teacher, own in zip(teachers, layers, strict=True) for _ in own]
    model = build_model(arguments, dims, labels)
    scale_gradient(model, arguments.feature_encoder_gradient)
    given = weights_key(model.base_model)
    logger.info("%.2fM parameters in the student", model.base_model.num_parameters() / 1e6)
    normalize, noise = _normalizes(arguments, model), input_noise(arguments)
    start, layer = start_of_student(arguments)
    chosen, selection = select_rows(
        arguments, corpus, training, labels=labels, start=start, start_layer=layer,
        min_seconds=arguments.min_seconds, skipped=skipped,
    )  # fmt: skip
    corpus = corpus if selection is None else corpus.select(chosen)
    place = arguments.teacher_cache or Path(training.output_dir) / "teachers"
    with training.main_process_first(desc="teachers"):
        caches = [
            cache_teacher(Path(place) / str(number), teacher, own, corpus, arguments.min_seconds,
                          skipped=skipped)
            for number, (teacher, own) in enumerate(zip(teachers, layers, strict=True))
        ]  # fmt: skip
    batches = DistillationBatches(
        caches,
        training.max_steps * training.gradient_accumulation_steps * training.world_size,
        training.batch_seconds,
        arguments.crop_seconds,
        training.seed if training.data_seed is None else training.data_seed,
        labels,
        arguments.mask_start,
        arguments.mask_span,
        noise,
        normalize,
    )
    batches.skipped = skipped
    extractor = feature_extractor_of(model)
    extractor.do_normalize = normalize
    trainer = SpeechTrainer(
        model,
        training,
        batches,
        processing_class=extractor,
        data_collator=only_item,
        batch_sampler=ReadyBatches,
        mean_over_batch=True,
        provenance=_provenance(arguments, caches, labels, given),
    )
    trainer.run_arguments = (arguments,)
    trainer.card_info = card_of_student(arguments, batches, selection)
    keep_selection(trainer, selection)
    return trainer


def run_distillation(trainer: SpeechTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one; save the plain student."""
    folder = Path(trainer.args.output_dir)
    with output_lock(folder, trainer.args.should_save):
        resume_training(trainer)
        if trainer.is_world_process_zero():
            model = trainer.accelerator.unwrap_model(trainer.model)
            facts = info_of_run(trainer)
            dtype = getattr(torch, trainer.run_arguments[0].saved_dtype)
            save_student(model, folder, dtype)
            trainer.processing_class.save_pretrained(folder)
            save_companions(folder, model.base_model.config, None, facts)
            save_history(trainer.state.log_history, folder)
            logger.info("Student saved in %s", folder)
    leave_process_group()


def read_corpora(arguments: DistillationArguments, skipped: SkippedFiles) -> datasets.Dataset:
    """Return id, audio and duration of all corpora, without the splits that are left out.

    Raises:
        ValueError: nothing is left.
    """
    return load_corpora(
        arguments.corpora, split_name(arguments.corpus_split), arguments.exclude_splits,
        segment_seconds=arguments.segment_seconds or None, skipped=skipped,
    )  # fmt: skip


def load_teachers(
    arguments: DistillationArguments, layers: list[list[int]], device: torch.device
) -> list[Teacher]:
    """Load every teacher, on the GPU of the run or else the CPU; check that it has its layers."""
    place = str(device) if device.type == "cuda" else "cpu"
    teachers = [load_teacher(n, arguments.teacher_bf16, place) for n in arguments.teacher]
    for name, teacher, own in zip(arguments.teacher, teachers, layers, strict=True):
        check_layers(name, teacher, own)
    return teachers


def build_model(
    arguments: DistillationArguments, dims: list[int], labels: FrameLabels | None
) -> DistillationModel:
    """Return the student with the heads that the arguments ask for.

    Args:
        arguments: of the run.
        dims: dimension of the features of every target layer.
        labels: units to be told, or None.
    """
    fields: dict[str, Any] = {
        "target_dims": dims,
        "student_layers": arguments.layers_of_student(len(dims)),
        "num_units": None if labels is None else labels.num_labels,
        "apply_spec_augment": arguments.mask_start > 0,
    }
    for name in ("distillation_head", "distillation_weight", "cosine_weight", "unit_weight",
                 "unit_layer", "unmasked_weight"):  # fmt: skip
        fields[name] = getattr(arguments, name)
    changes = dict(arguments.student_config or {})
    return build_student(arguments.student, arguments.teacher[0], changes, fields)


def start_of_student(arguments: DistillationArguments) -> tuple[str | None, int]:
    """Return the encoder whose hidden state the student begins with; None for random weights."""
    if arguments.student.startswith("copy:"):
        return arguments.teacher[0], int(arguments.student.removeprefix("copy:"))
    return None if arguments.student.endswith((".yaml", ".yml")) else arguments.student, -1


def input_noise(arguments: DistillationArguments) -> InputNoise | None:
    """Return what is added to the student's input; None for nothing."""
    rows = arguments.load_noise()
    if rows is None and arguments.speaker_probability == 0:
        return None
    return InputNoise(
        None if rows is None else NoiseBank(rows["audio"]),
        arguments.noise_probability,
        arguments.speaker_probability,
        (arguments.noise_snr_low, arguments.noise_snr_high),
    )


def only_item(items: list[dict]) -> dict:
    """Collate by taking the one ready batch, and say how much speech it is."""
    (batch,) = items
    return batch | {"batch_info": BatchInfo(batch["input_values"].numel() / SAMPLING_RATE)}


def _normalizes(arguments: DistillationArguments, model: DistillationModel) -> bool:
    """Say whether the student reads normalised waveforms: as what it is copied from."""
    if arguments.student.startswith("copy:"):
        return wants_normalized(resolve_encoder(arguments.teacher[0]), model.config)
    if arguments.student.endswith((".yaml", ".yml")):
        return feature_extractor_of(model).do_normalize
    return wants_normalized(resolve_encoder(arguments.student), model.config)


def _provenance(
    arguments: DistillationArguments,
    caches: list[TeacherCache],
    labels: FrameLabels | None,
    given: str,
) -> dict[str, Any]:
    """Return what else decides the run: features, units, noise and first weights."""
    record: dict[str, Any] = {
        f"teacher_{number}": cache.fingerprint() for number, cache in enumerate(caches)
    }
    if not arguments.student.endswith((".yaml", ".yml")):
        record["student_weights"] = given
    if labels is not None:
        digest = hashlib.sha256()
        for part in labels.blocks():
            digest.update(part.astype(np.float32).data)
        record["units"] = digest.hexdigest()[:16]
    noise = arguments.load_noise()
    if noise is not None:
        record["noise"] = corpus_key(noise)
    return record
