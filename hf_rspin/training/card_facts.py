"""What a run knows for its model card: data, recipe, compute, the last values of its log."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub import EvalResult
from transformers import TrainingArguments

import hf_rspin
from hf_rspin.adapters import adapted_model
from hf_rspin.adapters.loading import EMBEDDED
from hf_rspin.publishing.model_card import NOT_RECORDED, CardFacts
from hf_rspin.resources import encoder_folder

if TYPE_CHECKING:
    from hf_rspin.training.trainer import TwoViewTrainer

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
# of the stock arguments; the others say where a run logs and saves, some of them secrets
DECISIVE = (
    "learning_rate", "max_steps", "num_train_epochs", "warmup_steps", "weight_decay",
    "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "gradient_accumulation_steps",
    "optim", "lr_scheduler_type", "seed", "data_seed", "bf16", "fp16", "tf32",
)  # fmt: skip
# of ours; they do not decide what is learned
INDECISIVE = ("overwrite_output_dir", "lower_states_cache", "cache_gigabytes", "stop_on_collapse")
# of a log, beside the parts of the loss
BOOKKEEPING = ("step", "epoch", "learning_rate", "grad_norm", "processed_hours",
               "voices_unchanged", "skipped_files")  # fmt: skip


def facts_of_run(trainer: TwoViewTrainer) -> CardFacts:
    """Return what is known of a run so far; what `trainer.card_facts` says comes first."""
    given = trainer.card_facts or CardFacts()
    values = {f.name: getattr(part, f.name) for part in trainer.run_arguments for f in fields(part)}
    corpus = values.get("corpus") or None
    base_model, started_from = _origin(
        values.get("encoder") or adapted_model(trainer.model).name_or_path
    )
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
        normalized=trainer.processing_class.do_normalize,
        results=[*given.results, *_logged(trainer, corpus)],
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
    if name in (EMBEDDED, str(encoder_folder())):
        return None, "the small encoder in the package hf_rspin"
    if _is_path(name) or Path(name).exists():
        return None, f"a model in the local folder {portable(Path(name))}"
    return name, None


def _training_data(trainer: TwoViewTrainer, values: Mapping[str, Any]) -> str | None:
    """Return a table of corpus and noise; None where nothing is known of them."""
    dataset, rows = trainer.train_dataset, []
    corpus, noise = values.get("corpus"), values.get("noise")
    if dataset is not None:
        hours = float(dataset.full_durations.sum()) / 3600
        amount = f"{len(dataset):,} utterances, {hours:.3g} h"
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


def _logged(trainer: TwoViewTrainer, corpus: str | None) -> list[EvalResult]:
    """Return the values of the last log of training, and of the last evaluation, by name."""
    name = str(portable(corpus)) if corpus else "training data"
    identifier = corpus.partition(":")[0] if _is_on_hub(corpus) else name
    logs = trainer.state.log_history[::-1]
    trained = next((log for log in logs if "loss" in log), {})
    evaluated = next((log for log in logs if any(part.startswith("eval_") for part in log)), {})
    has_text = type(adapted_model(trainer.model)).__name__.endswith("ForCTC")
    task = "automatic-speech-recognition" if has_text else "feature-extraction"
    train = {"dataset_type": identifier, "dataset_name": name, "dataset_split": "train"}
    other = {"dataset_type": "evaluation-data", "dataset_name": "evaluation data"}
    return [
        _result(part.removeprefix("eval_"), value, task_type=task, **data)
        for data, log in ((train, trained), (other, evaluated))
        for part, value in sorted(log.items())
        if part not in BOOKKEEPING and (log is trained or part.startswith("eval_"))
    ]


def _result(part: str, value: float, **data: str) -> EvalResult:
    return EvalResult(
        metric_type=part,
        metric_name=part.replace("_", " "),
        metric_value=float(f"{value:.4g}") if math.isfinite(value) else value,
        **data,
    )


def _counts(part: Any, name: str) -> bool:
    if not isinstance(part, TrainingArguments):
        return name != "strict"
    if name in {field.name for field in fields(TrainingArguments)}:
        return name in DECISIVE
    return name not in INDECISIVE and not name.startswith("collapse_")


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
