"""Train an elastic encoder: compute the teacher's targets once, train, save the full encoder."""

from __future__ import annotations

import logging
from pathlib import Path

import datasets
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel

from hf_rspin.data import SkippedFiles
from hf_rspin.data.corpora import load_corpora
from hf_rspin.data.selection.budget import Selection
from hf_rspin.distillation.run import only_item
from hf_rspin.distillation.teacher_cache import TeacherCache, cache_teacher
from hf_rspin.elastic.arguments import ElasticArguments
from hf_rspin.elastic.batches import ElasticBatches
from hf_rspin.elastic.objective import OWN_FIELDS, ElasticDistillation, build_student
from hf_rspin.elastic.slices import check_elastic
from hf_rspin.elastic.space import SPACE_FILE, SubnetSpace
from hf_rspin.elastic.supernet import set_subnet
from hf_rspin.elastic.teacher import MeanOfLayers, RawTeacherCache, load_mean_of_layers
from hf_rspin.models.folders import feature_extractor_of, resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder, plain_config
from hf_rspin.publishing import save_companions
from hf_rspin.publishing.model_card import NOT_RECORDED, ModelCardInfo
from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.training.freezing import scale_gradient
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import weights_key
from hf_rspin.training.run import leave_process_group, resume_training, save_history
from hf_rspin.training.run_card import info_of_run, portable
from hf_rspin.training.sampling import ReadyBatches
from hf_rspin.training.selection import keep_selection, select_rows
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import DistillationTrainingArguments

logger = logging.getLogger(__name__)

PROJECTION = "elastic_projection.safetensors"  # what stage 2 goes on with


def build_elastic(
    arguments: ElasticArguments, training: DistillationTrainingArguments
) -> SpeechTrainer:
    """Compute what is missing of the teacher's targets, and return the trainer.

    Raises:
        ValueError: something given is wrong, in one sentence.
    """
    arguments.check()
    if training.max_steps < 1:
        raise ValueError(f"--max_steps is {training.max_steps}; expected the number of updates.")
    corpus, selection, skipped = _read_corpus(arguments, training)
    place = str(training.device) if training.device.type == "cuda" else "cpu"
    teacher = load_mean_of_layers(
        arguments.teacher, arguments.average_layers, arguments.teacher_bf16, place
    )
    # everything that can be refused is, before hours of the teacher at work
    model = load_student(arguments, teacher.dim, training.seed)
    scale_gradient(model, arguments.feature_encoder_gradient)
    # an embedding of masked frames may be fresh, and other at every start
    given = weights_key(model.hubert, "masked_spec_embed")
    cache = _compute_targets(arguments, training, teacher, corpus, skipped)
    normalize = wants_normalized(resolve_encoder(arguments.encoder), model.config)
    batches = make_batches(arguments, training, cache, normalize)
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
        provenance={
            "teacher_targets": cache.fingerprint(),
            "student_weights": given,
            "space": model.config.subnet_space,
        },  # fmt: skip
    )
    trainer.run_arguments = (arguments,)
    trainer.card_info = _card(arguments, batches, selection)
    keep_selection(trainer, selection)
    return trainer


def run_elastic(trainer: SpeechTrainer) -> None:
    """Train from the newest complete checkpoint, if there is one; save the full encoder."""
    folder = Path(trainer.args.output_dir)
    with output_lock(folder, trainer.args.should_save):
        resume_training(trainer)
        if trainer.is_world_process_zero():
            model = trainer.accelerator.unwrap_model(trainer.model)
            facts = info_of_run(trainer)
            save_supernet(model, folder, getattr(torch, trainer.run_arguments[0].saved_dtype))
            trainer.processing_class.save_pretrained(folder)
            save_companions(folder, model.hubert.config, None, facts)
            save_history(trainer.state.log_history, folder)
            logger.info("Encoder saved in %s", folder)
    leave_process_group()


def _read_corpus(
    arguments: ElasticArguments, training: DistillationTrainingArguments
) -> tuple[datasets.Dataset, Selection | None, SkippedFiles]:
    """Return id, audio and duration of what is trained on, what it is of all, and bad files."""
    skipped = SkippedFiles(arguments.strict)
    corpus = load_corpora(
        arguments.corpora, split_name(arguments.corpus_split), arguments.exclude_splits,
        segment_seconds=arguments.segment_seconds or None, skipped=skipped,
    )  # fmt: skip
    chosen, selection = select_rows(
        arguments, corpus, training, start=None if arguments.random_weights else arguments.encoder,
        min_seconds=arguments.min_seconds, skipped=skipped,
    )  # fmt: skip
    return corpus if selection is None else corpus.select(chosen), selection, skipped


def _compute_targets(
    arguments: ElasticArguments,
    training: DistillationTrainingArguments,
    teacher: MeanOfLayers,
    corpus: datasets.Dataset,
    skipped: SkippedFiles,
) -> TeacherCache:
    """Compute what is missing of the targets, as the teacher hears whole utterances."""
    folder = Path(arguments.teacher_cache or Path(training.output_dir) / "teacher")
    with training.main_process_first(desc="teacher"):
        cache = cache_teacher(folder, teacher, [0], corpus, arguments.min_seconds, skipped=skipped)
    return cache if arguments.standardize_targets else RawTeacherCache(folder)


def load_student(arguments: ElasticArguments, teacher_dim: int, seed: int) -> ElasticDistillation:
    """Return the student that the arguments ask for.

    Raises:
        ValueError: no HuBERT, or a space that does not fit it.
    """
    encoder = load_encoder(resolve_encoder(arguments.encoder))
    check_elastic(encoder)
    space = None
    if arguments.stage == 2:
        space = SubnetSpace.load(arguments.space).to_dict()
    model = build_student(
        encoder,
        {"teacher_dim": teacher_dim, "subnet_space": space, "subnet_seed": seed,
         "unmasked_weight": arguments.unmasked_weight},
        arguments.student_config,
        arguments.random_weights,
    )  # fmt: skip
    if arguments.stage == 2:
        take_projection(model, Path(resolve_encoder(arguments.encoder)))
    logger.info("%.2fM parameters in the encoder", model.hubert.num_parameters() / 1e6)
    if model.space is not None:
        logger.info("%d subnets in the space", model.space.size)
    return model


def make_batches(
    arguments: ElasticArguments,
    training: DistillationTrainingArguments,
    cache: TeacherCache,
    normalize: bool,
) -> ElasticBatches:
    """Return the batches of a run."""
    return ElasticBatches(
        cache,
        training.max_steps * training.gradient_accumulation_steps * training.world_size,
        training.world_size,
        batch_seconds=training.batch_seconds,
        crop_seconds=arguments.crop_seconds,
        seed=training.seed if training.data_seed is None else training.data_seed,
        mask_start=arguments.mask_prob / arguments.mask_length,
        mask_span=arguments.mask_length,
        do_normalize=normalize,
    )


def save_supernet(model: ElasticDistillation, folder: Path, dtype: torch.dtype) -> None:
    """Save the plain full encoder and, of a supernet, the space of its subnets.

    Args:
        model: the linear is kept in a file of its own, for stage 2.
        folder: gets config, weights, and elastic.json in stage 2.
        dtype: of the weights in the file; the config says float32, which then is loaded.
    """
    encoder = model.hubert
    set_subnet(encoder, None)
    encoder.config = clean_config(model.config)
    encoder.config.architectures = [HubertModel.__name__]
    if model.space is not None:
        model.space.save(folder)
    else:  # of an earlier run in this folder
        (folder / SPACE_FILE).unlink(missing_ok=True)
    save_file({"weight": model.projection.weight.detach().float().cpu()}, folder / PROJECTION)
    encoder.to(dtype).save_pretrained(folder)
    encoder.config.dtype = "float32"  # saving sets it to that of the weights
    encoder.config.save_pretrained(folder)


def take_projection(model: ElasticDistillation, folder: Path) -> None:
    """Begin stage 2 with the linear that stage 1 left beside its encoder; warn where none fits."""
    file = folder / PROJECTION
    weight = load_file(file)["weight"] if file.is_file() else None
    if weight is not None and weight.shape == model.projection.weight.shape:
        model.projection.weight.data.copy_(weight)
        logger.info("The linear of %s goes on", folder)
    else:
        logger.warning(
            "The linear to the teacher begins at random: %s %s. Stage 2 expects what stage 1 left.",
            folder,
            "has none" if weight is None else "has one of another teacher's or encoder's size",
        )


def clean_config(config: HubertConfig) -> HubertConfig:
    """Return the config of a student as that of a plain encoder, without masking."""
    content = {n: v for n, v in config.to_dict().items() if n not in OWN_FIELDS}
    found = plain_config(content)
    found.apply_spec_augment, found.dtype = False, "float32"
    return found


def _card(
    arguments: ElasticArguments, batches: ElasticBatches, selection: Selection | None
) -> ModelCardInfo:
    """Return what the model card says of method and data."""
    names = ", ".join(str(portable(name)) for name in arguments.corpora)
    split = split_name(arguments.corpus_split)
    names += f", split {split}" if split else ""
    hours = float(batches.full_durations.sum()) / 3600
    amount = f"{len(batches.full_durations):,} utterances, {hours:.3g} h"
    amount += "" if selection is None else f"; kept {selection}"
    return ModelCardInfo(
        method="Elastic distillation",
        training_data="| corpora | hours, speakers | licence |\n| :-- | :-- | :-- |\n"
        f"| {names} | {amount}, speakers {NOT_RECORDED} | {NOT_RECORDED} |",
    )
