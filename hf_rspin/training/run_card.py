"""The model card of a run: its data, recipe and compute, and what was measured on other data."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import EvalResult
from peft import PeftModel
from transformers import TrainerCallback, TrainingArguments

import hf_rspin
from hf_rspin.adapters import adapted_model
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.folders import encoder_folder, is_bundled
from hf_rspin.publishing import save_companions
from hf_rspin.publishing.card_file import CARD
from hf_rspin.publishing.model_card import NOT_RECORDED, ModelCardInfo
from hf_rspin.publishing.upload import upload
from hf_rspin.training.speech_run import SpeechRun

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
# of the stock arguments; the others say where a run logs and saves, some of them secrets
REPORTED_ARGUMENTS = (
    "learning_rate", "max_steps", "num_train_epochs", "warmup_steps", "weight_decay",
    "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "gradient_accumulation_steps",
    "optim", "lr_scheduler_type", "seed", "data_seed", "bf16", "fp16", "tf32",
)  # fmt: skip
# of ours; they do not decide what is learned
UNREPORTED_ARGUMENTS = ("overwrite_output_dir", "lower_states_cache", "cache_gigabytes",
                        "stop_on_collapse")  # fmt: skip


class ModelCardCallback(TrainerCallback):
    """Gives the model its facts before it is saved, and completes the folder of an adapter.

    Args:
        trainer: whose model is saved.
    """

    def __init__(self, trainer: SpeechRun):
        self.trainer = trainer

    def before_saving(self, folder: Path) -> bytes | None:
        """Hand the facts to the model, which writes its card; return a card that is there."""
        model = adapted_model(self.trainer.model)
        if isinstance(model, EncoderWithHeads):
            model.card_info = info_of_run(self.trainer)
        card = folder / CARD
        return card.read_bytes() if card.is_file() else None

    def after_saving(self, folder: Path, before: bytes | None) -> None:
        """Write the card where the model did not; `before` is the one that peft wrote over."""
        model, facts = adapted_model(self.trainer.model), info_of_run(self.trainer)
        is_ours = isinstance(model, EncoderWithHeads)
        if isinstance(self.trainer.model, PeftModel):
            (folder / CARD).unlink(missing_ok=True)
            if before is not None:
                (folder / CARD).write_bytes(before)
            config = self.trainer.model.peft_config[self.trainer.model.active_adapter]
            facts = replace(facts, adapter=str(config.peft_type).split(".")[-1].lower())
            model.config.architectures = [type(model).__name__]
        elif is_ours:
            return  # has written its card
        save_companions(folder, model.config, model.acoustic_pieces if is_ours else None, facts)


def push(
    trainer: SpeechRun,
    commit_message: str,
    token: str | None = None,
    revision: str | None = None,
    private: bool | None = None,
) -> str:
    """Upload the saved output folder of a run in one commit; return the address of the commit.

    Args:
        trainer: of the run.
        commit_message: title of the commit.
        token: with write access; default `args.hub_token`.
        revision: branch; default `args.hub_revision`.
        private: of a new repository; default `args.hub_private_repo`.
    """
    args = trainer.args
    return upload(
        args.output_dir,
        trainer.hub_model_id or args.hub_model_id or Path(args.output_dir).name,
        private=args.hub_private_repo if private is None else private,
        token=token or args.hub_token,
        commit_message=commit_message,
        revision=revision or args.hub_revision,
    )


def info_of_run(trainer: SpeechRun) -> ModelCardInfo:
    """Return what is known of a run so far; what `trainer.card_info` says comes first."""
    given, processor = trainer.card_info or ModelCardInfo(), trainer.processing_class
    values = {f.name: getattr(part, f.name) for part in trainer.run_arguments for f in fields(part)}
    corpus = values.get("corpus") or None
    encoder = values.get("encoder")  # of pre-training, a config
    name = encoder if isinstance(encoder, str) else adapted_model(trainer.model).name_or_path
    base_model, started_from = _origin(name or adapted_model(trainer.model).name_or_path)
    dataset = given.datasets or ([corpus.partition(":")[0]] if _is_on_hub(corpus) else [])
    return replace(
        given,
        name=given.name or Path(trainer.args.output_dir).resolve().name,
        base_model=given.base_model or base_model,
        started_from=given.started_from or started_from,
        datasets=dataset,
        training_data=given.training_data or _training_data(trainer, values),
        recipe=given.recipe or changed_arguments([*trainer.run_arguments, trainer.args]),
        updates=trainer.state.global_step,
        processed_hours=trainer.processed_hours,
        hardware=describe_hardware(trainer.args.device, trainer.args.world_size),
        wall_seconds=trainer.wall_seconds,
        software=f"hf_rspin {hf_rspin.__version__}, transformers {transformers.__version__}, "
        f"torch {torch.__version__}",
        normalized=getattr(processor, "feature_extractor", processor).do_normalize,
        results=[*given.results, *_evaluated(trainer)],
    )


def changed_arguments(arguments: Iterable[Any]) -> dict[str, Any]:
    """Return the arguments that differ from their defaults and decide what is learned.

    Local paths are given by their last part: cards are read by others.

    Args:
        arguments: instances of dataclasses; of `TrainingArguments` few fields count.
    """
    changed = {}
    for part in arguments:
        for field in fields(part):
            value = getattr(part, field.name)
            if _counts(part, field.name) and value != _default(field):
                changed[field.name] = portable(value)
    return changed


def portable(value: Any) -> Any:
    """Return a value as JSON can hold it, local paths by their last part, ids on the Hub whole."""
    if isinstance(value, Enum):
        return portable(value.value)
    if isinstance(value, Mapping):
        return {str(name): portable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [portable(part) for part in value]
    if isinstance(value, str) and " of " in value:  # the source of a k-means: "layer 9 of model"
        what, _, source = value.rpartition(" of ")
        return f"{what} of {portable(source)}"
    if isinstance(value, Path) or (isinstance(value, str) and _is_path(value)):
        return Path(value).expanduser().resolve().name
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return type(value).__name__


def describe_hardware(device: torch.device, processes: int) -> str:
    """Name what a run computes on, such as "2 x NVIDIA H100 80GB HBM3"."""
    if device.type == "cuda":
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{processes} x {device.type}"
    threads = torch.get_num_threads()
    text = f"CPU ({_processor()}), {threads} thread{'s' * (threads > 1)}"
    return text if processes == 1 else f"{text} in each of {processes} processes"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _origin(name: str) -> tuple[str | None, str | None]:
    """Return what a model was trained from: an id on the Hub, or else words."""
    if not name:
        return None, None
    if is_bundled(name) or name == str(encoder_folder()):
        return None, "the small encoder in the package hf_rspin"
    if _is_path(name) or Path(name).exists():
        return None, f"a model in the local folder {portable(Path(name))}"
    return name, None


def _training_data(trainer: SpeechRun, values: Mapping[str, Any]) -> str | None:
    """Return a table of corpus and noise; None where nothing is known of them."""
    dataset, rows = trainer.train_dataset, []
    corpus, noise = values.get("corpus"), values.get("noise")
    if dataset is not None:
        hours = float(dataset.full_durations.sum()) / 3600
        amount = f"{len(dataset):,} utterances, {hours:.3g} h"
        if "selection" in trainer.provenance:
            amount += f"; kept {trainer.provenance['selection']}"
        name = _split(corpus, values.get("corpus_split")) or f"name {NOT_RECORDED}"
        rows.append(f"| {name} | {amount}, speakers {NOT_RECORDED} | {NOT_RECORDED} |")
    if noise:
        name = _split(noise, values.get("noise_split"))
        rows.append(f"| {name} | as noise | {NOT_RECORDED} |")
    head = ["| corpus | hours, speakers | licence |", "| :-- | :-- | :-- |"]
    return "\n".join([*head, *rows]) if rows else None


def _split(name: str | None, split: str | None) -> str | None:
    if not name:
        return None
    known = split not in (None, "") and str(split).lower() != "none"
    return f"{portable(name)}, split {split}" if known else str(portable(name))


def _evaluated(trainer: SpeechRun) -> list[EvalResult]:
    """Return the values of the last evaluation, by name; those of training batches are no result.

    An evaluation that was made before the last update would be of other weights: it is left out.
    """
    logs = [log for log in trainer.state.log_history if any(n.startswith("eval_") for n in log)]
    if not logs or logs[-1]["step"] != trainer.state.global_step:
        return []
    has_text = type(adapted_model(trainer.model)).__name__.endswith("ForCTC")
    return [
        EvalResult(
            task_type="automatic-speech-recognition" if has_text else "feature-extraction",
            dataset_type="evaluation-data",
            dataset_name="evaluation data",
            metric_type=part.removeprefix("eval_"),
            metric_name=part.removeprefix("eval_").replace("_", " "),
            metric_value=float(f"{value:.4g}") if math.isfinite(value) else value,
        )
        for part, value in sorted(logs[-1].items())
        if part.startswith("eval_")
    ]


def _counts(part: Any, name: str) -> bool:
    if not isinstance(part, TrainingArguments):
        return name not in ("strict", "selection_cache")
    if name in {field.name for field in fields(TrainingArguments)}:
        return name in REPORTED_ARGUMENTS
    return name not in UNREPORTED_ARGUMENTS and not name.startswith("collapse_")


def _default(field: Field) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _is_on_hub(name: str | None) -> bool:
    return bool(name) and not _is_path(name) and HUB_ID.fullmatch(name.partition(":")[0])


def _is_path(text: str) -> bool:
    """Say whether a value is a place on this machine; an id on the Hub is none."""
    if text.startswith(("/", "~", ".", "\\")) or re.match(r"[A-Za-z]:[\\/]", text):
        return True
    has_separator = "/" in text or "\\" in text
    return has_separator and (not HUB_ID.fullmatch(text.partition(":")[0]) or Path(text).exists())
