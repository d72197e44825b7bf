"""What a result was made from: stored with it, and compared before anything goes on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from peft import PeftModel

from hf_rspin.adapters import adapted_model
from hf_rspin.data.fingerprint import audio_key
from hf_rspin.training.speech_run import SpeechRun
from hf_rspin.units import FrameLabels
from hf_rspin.utils import tensor_hash, write_text

PROVENANCE = "provenance.json"
FORMER_FILE = "made_from.json"  # its name in version 0.1.0
# of `TrainingArguments` and ours: what decides the weights after the next update
DECISIVE = (
    "learning_rate", "head_learning_rate", "min_learning_rate", "warmup_steps", "weight_decay",
    "adam_beta1",
    "adam_beta2", "adam_epsilon", "max_grad_norm", "gradient_accumulation_steps", "optim",
    "optim_args", "use_adam", "lr_scheduler_type", "lr_scheduler_kwargs", "seed", "data_seed",
    "bf16", "fp16", "batch_seconds", "num_trainable_layers", "frozen_dropout", "pairs_per_batch",
    "train_encoder_norm",
)  # fmt: skip
# places whose content has a fingerprint, and what changes nothing in training
EXEMPT = (
    "teacher_cache", "saved_dtype", "encoder", "encoder_config", "method", "corpus",
    "corpus_split", "corpora", "noise",
    "noise_split", "pseudo_labels", "teacher", "initial_model", "strict", "test_split",
    "hours", "select", "selection_labels", "selection_model", "selection_layer", "selection_cache",
)  # fmt: skip
NO_CONFIG = (
    "_name_or_path", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype",
    "untrained_heads", "_attn_implementation", "attn_implementation",
)  # fmt: skip
ADAPTER = ("r", "lora_alpha", "target_modules", "layers_to_transform", "width", "scale",
           "reduction", "modules_to_save")  # fmt: skip
VIEW_OPTIONS = (
    "noise", "snr_low", "snr_high", "snrs", "noise_probability", "babble_probability",
    "perturb_speaker", "perturb_formants", "equalize", "augmentations",
    "augmentation_probability",
    "augment_both_views", "speeds", "semitones", "noise_on_both_views",
)  # fmt: skip

# settings that came later, with what was done before there was a choice: a record without them goes
# on (add those of a new option here)
SINCE = {
    "perturb_formants": True, "formants": True, "alignment": "soft_dtw",
    "auxiliary_codebook_size": None, "auxiliary_codebook_weight": 1.0,
    "variance_weight": 0.0, "invariance_weight": 0.0, "covariance_weight": 0.0,
}  # fmt: skip


def run_provenance(trainer: SpeechRun) -> dict[str, Any]:
    """Return everything that decides what a run learns, as flat JSON values.

    Fingerprints stand for what lies in files: encoder weights, corpus, labels; `trainer.provenance`
    has those that only the caller knows, such as noise.
    """
    model = adapted_model(trainer.model)
    config = {k: v for k, v in model.config.to_dict().items() if k not in NO_CONFIG}
    record = {"model": type(model).__name__, **config, **_adapter(trainer.model)}
    for part in trainer.run_arguments:
        for one in fields(part):
            if one.name not in EXEMPT and one.name not in record:
                record[one.name] = getattr(part, one.name)
    record |= {n: getattr(trainer.args, n) for n in DECISIVE if n in vars(trainer.args)}
    record |= {"processes": trainer.args.world_size, **_data(trainer.train_dataset)}
    extractor = getattr(trainer.processing_class, "feature_extractor", trainer.processing_class)
    record |= {"do_normalize": vars(extractor).get("do_normalize")}
    record |= {"encoder_weights": _encoder_key(trainer), **trainer.provenance}
    return json.loads(json.dumps(record, default=_plain, sort_keys=True))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two records, as parts of a sentence."""
    changed, now = [], _as_then(before, now)
    for name in _telling(before, now):
        was, value = before.get(name), now.get(name)
        if isinstance(was, dict) and isinstance(value, dict):  # views: what of them differs
            changed += [f"{name}: {text}" for text in differences(was, value)]
        elif was != value:
            changed.append(f"{name} was {_short(was)} and is {_short(value)}")
    return changed


def _as_then(before: Any, now: Any) -> Any:
    """Return `now` without settings that an older record `before` could not name, as they were."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return {
            name: _as_then(before.get(name), value) for name, value in now.items()
            if name in before or name not in SINCE or SINCE[name] != value
        }  # fmt: skip
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [_as_then(*pair) for pair in zip(before, now, strict=True)]
    return now


def _telling(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names that differ, without those that differ because another one does."""
    names = sorted(n for n in {*before, *now} if before.get(n) != now.get(n))
    kinds = [name for name in ("model", "model_type") if name in names]
    if kinds:
        return kinds  # another objective or family has other settings throughout
    if "adapter" in names:
        names = [name for name in names if name not in (*ADAPTER, "lora_dropout")]
    if "corpus" in names:
        names = [name for name in names if name != "audio"]
    if "selection" in names:  # says in words why the corpus differs
        names = [name for name in names if name not in ("corpus", "audio", "labels")]
    # options of the scripts say in a word what their views show at length
    said = any(name in VIEW_OPTIONS for name in names)
    return [name for name in names if not (said and name == "views")]


def save_provenance(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Write a record into a checkpoint's folder, which is made here."""
    write_text(Path(folder) / PROVENANCE, json.dumps(record, indent=2) + "\n")


def load_provenance(folder: str | Path) -> dict[str, Any] | None:
    """Read what `save_provenance` wrote; None for a folder without it."""
    path = Path(folder) / PROVENANCE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def corpus_key(corpus: datasets.Dataset) -> dict[str, Any]:
    """Return what tells a corpus from another: its size, and hashes of its rows and its audio."""
    digest = hashlib.sha256()
    for key, seconds in zip(corpus["id"], corpus["duration"], strict=True):
        digest.update(f"{key}\t{round(float(seconds), 3)}\n".encode())
    rows = {"utterances": len(corpus), "corpus": digest.hexdigest()[:16]}
    has_audio = "audio" in corpus.column_names
    return rows | ({"audio": audio_key(corpus["audio"])} if has_audio else {})


def weights_key(model: torch.nn.Module, prefix: str | None = None) -> str:
    """Return a hash of all weights; those with `prefix` in their name, an adapter's, left out."""
    return tensor_hash(
        (name.replace(".base_layer.", "."), tensor)
        for name, tensor in sorted(model.state_dict().items())
        if prefix is None or prefix not in name
    )


def check_provenance(
    folder: str | Path,
    now: Mapping[str, Any],
    results: tuple[str, ...],
    options: Collection[str] = (),
) -> None:
    """Note in `folder` what its results are made from; refuse those made from something else.

    Args:
        folder: where the results go; made here.
        now: settings that decide the results, JSON values.
        results: names in `folder` that are results.
        options: settings that are options of the command, where all results are of one command;
            the message then names them as the command line does.

    Raises:
        ValueError: the results there were made from something else, or nobody knows from what.
    """
    folder, remedy = Path(folder), "name another folder or remove it."
    file = folder / PROVENANCE
    if not file.is_file() and (folder / FORMER_FILE).is_file():
        file = folder / FORMER_FILE
    now = json.loads(json.dumps(dict(now)))
    found = [name for name in results if (folder / name).exists()]
    if found:
        if not file.is_file():
            raise ValueError(
                f"{folder} holds {found[0]}, but no {PROVENANCE} says from what it was made: "
                f"{remedy}"
            )
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed and options:
            raise ValueError(_of_other_options(folder, before, now, changed, options))
        if changed:
            values = ", ".join(
                f"{name} {before.get(name)} (now {now.get(name)})" for name in changed
            )
            raise ValueError(f"{folder} holds {found[0]} made from {values}: {remedy}")
        return
    write_text(file, json.dumps(now, indent=2) + "\n")


def _of_other_options(
    folder: Path,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    changed: Sequence[str],
    options: Collection[str],
) -> str:
    """Say which options a folder was made with, and what they are now."""

    def told(name: str) -> str:
        mark = "--" if name in options else ""
        old, new = (values.get(name) for values in (before, now))
        had = f"without {mark}{name}" if old is None else f"with {mark}{name} {old}"
        return f"{had} (now {'without' if new is None else new})"

    said = ", ".join(told(name) for name in changed)
    return f"{folder} was made {said}: name another --output_dir, or remove it."


def _adapter(model: torch.nn.Module) -> dict[str, Any]:
    if not isinstance(model, PeftModel):
        return {"adapter": "none"}
    settings = model.peft_config[model.active_adapter].to_dict()
    kind = str(_plain(settings["peft_type"])).lower()
    found = {n: settings[n] for n in ADAPTER if n in settings}
    unordered = {n: sorted(v) for n, v in found.items() if isinstance(v, set | list | tuple)}
    return {"adapter": kind, **found, **unordered}


def _data(dataset: Any) -> dict[str, Any]:
    """Return what decides which examples an update sees, and how they look."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.full_durations).tobytes())
    known = vars(dataset)
    if "corpus" in known:
        digest.update("\n".join(map(str, dataset.corpus["id"])).encode())
    record = {"corpus": digest.hexdigest()[:16], "data_set_seed": known.get("seed")}
    if "corpus" in known and "audio" in dataset.corpus.column_names:
        record["audio"] = audio_key(dataset.corpus["audio"])
    limits = {n: known.get(n, np.inf) for n in ("min_seconds", "max_seconds")}
    record |= {n: seconds for n, seconds in limits.items() if np.isfinite(seconds)}
    labels = known.get("frame_labels")
    if isinstance(labels, FrameLabels):
        record["frame_labels"] = labels.fingerprint()
    if isinstance(known.get("labels"), list):  # transcripts of CTC
        hashed = hashlib.sha256()
        for row in known["labels"]:
            hashed.update(np.asarray(row, dtype=np.int64).tobytes() + b";")
        record["labels"] = hashed.hexdigest()[:16]
    if known.get("views") is not None:
        record["views"] = described(dataset.views)
    return record


def described(value: Any) -> Any:
    """Return the settings of an object of this package; no data, no places, no private state."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        whole = all(isinstance(v, bool | int | float) for v in value)
        parts = value if whole else [v for v in value if _is_ours(v)]
        return [described(part) for part in parts[:50]]
    if not _is_ours(value):
        return type(value).__name__
    settings = {k: described(v) for k, v in vars(value).items() if not k.startswith("_")}
    return {"kind": type(value).__name__, **settings}


def _is_ours(value: Any) -> bool:
    return type(value).__module__.startswith("hf_rspin.") and hasattr(value, "__dict__")


def _encoder_key(trainer: SpeechRun) -> str | None:
    """Return a hash of the weights that the run begins with.

    None for a model that was made from a config, whose weights no later process has, and for one
    that was loaded from a checkpoint of the run itself.
    """
    model = adapted_model(trainer.model)
    if not model.name_or_path:
        return None
    source, output = Path(model.name_or_path).resolve(), Path(trainer.args.output_dir).resolve()
    if source == output or output in source.parents:
        return None
    is_adapted = isinstance(trainer.model, PeftModel)
    prefix = trainer.model.base_model.prefix if is_adapted else None
    return weights_key(model.base_model, prefix)


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it; the order of names in a set says nothing."""
    if isinstance(value, set):
        return sorted(value)
    return value.value if isinstance(value, Enum) else str(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
