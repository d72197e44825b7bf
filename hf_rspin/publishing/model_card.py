"""The model card of a saved model: what its config says, and the facts that are given.

What is not known is left out or called not recorded, never guessed. The layout is that of
`model_cards/template.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump
from transformers import PreTrainedConfig

SAMPLING_RATE = 16_000
ADDRESS = "owner/name-or-folder"  # stands for the repository until one is known
NOT_RECORDED = "not recorded"
PAPERS = {
    "Spin": "[arXiv 2305.11072](https://arxiv.org/abs/2305.11072)",
    "R-Spin": "[arXiv 2311.09117](https://arxiv.org/abs/2311.09117)",
    "Distillation": "the loss of DistilHuBERT, [arXiv 2110.01900]"
    "(https://arxiv.org/abs/2110.01900)",
    "Masked prediction": "as HuBERT, [arXiv 2106.07447](https://arxiv.org/abs/2106.07447)",
    "Unit distillation": "as DiceHuBERT, [arXiv 2507.02911](https://arxiv.org/abs/2507.02911)",
    "Elastic distillation": "as LightHuBERT, [arXiv 2203.15610](https://arxiv.org/abs/2203.15610)",
}
GOALS = {
    "Spin": "two views of an utterance, one in another voice, get the same discrete codes",
    "R-Spin": "two noisy views of an utterance, one in another voice, get the same discrete codes, "
    "and tell the acoustic piece of every frame",
    "R-Spin-LASER": "two noisy views of an utterance, one in another voice, get the same discrete "
    "codes, and the same sequence of features, aligned by soft-DTW",
    "LASER": "two views of an utterance at different speed and pitch get the same sequence of "
    "features, aligned by soft-DTW",
    "SCORE": "an utterance at another speed and pitch keeps the sequence of features that a frozen "
    "copy of the encoder gives, aligned by soft-DTW",
    "Distillation": "a student predicts what frozen teachers make of the same speech",
    "Masked prediction": "the cluster of frames that are hidden from it is told",
    "Unit distillation": "a student tells the k-means units of a frozen teacher",
    "Elastic distillation": "an encoder, or a random part of its width and depth in every forward, "
    "predicts the mean of a frozen teacher's last layers at masked speech",
}
# their folders bring the code of their heads
BUNDLED_CODE = ("Spin", "R-Spin", "R-Spin-LASER", "LASER", "SCORE")
WITH_CODES = ("Spin", "R-Spin", "R-Spin-LASER")  # their models give units


@dataclass
class ModelCardInfo:
    """What a card says beside what the config says; None or empty where it is not known.

    Attributes:
        name: title of the card, and name in `model-index`; by default the folder's.
        base_model: id on the Hub of the model that was trained on.
        started_from: the same in words, where it is not on the Hub.
        license: of the weights, by its identifier on the Hub, such as "apache-2.0".
        language: ISO 639 codes.
        datasets: ids on the Hub of the training data.
        training_data: in words: corpora, hours, speakers, licences.
        recipe: the arguments of training that differ from their defaults.
        updates: of the optimiser.
        processed_hours: hours of one view that were trained on, repetitions counted.
        hardware: such as "1 x NVIDIA H100".
        wall_seconds: duration of training.
        software: names and versions.
        normalized: whether waveforms are normalised; by default as the feature extractor does.
        adapter: "lora" or "read", where only an adapter is saved.
        method: Spin, R-Spin, R-Spin-LASER, LASER, SCORE, Distillation or Unit distillation, of an
            encoder that is saved without its heads.
        results: measured values; their `dataset_split` is "train" for those of the training log.
        limits: where the model was not tested, and what not to use it for.
        tags: beside those of encoder and method.
    """

    name: str | None = None
    base_model: str | None = None
    started_from: str | None = None
    license: str | None = None
    language: str | list[str] | None = None
    datasets: list[str] = field(default_factory=list)
    training_data: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    updates: int | None = None
    processed_hours: float | None = None
    hardware: str | None = None
    wall_seconds: float | None = None
    software: str | None = None
    normalized: bool | None = None
    adapter: str | None = None
    method: str | None = None
    results: list[EvalResult] = field(default_factory=list)
    limits: str | None = None
    tags: list[str] = field(default_factory=list)


def make_card(config: PreTrainedConfig, facts: ModelCardInfo, has_pieces: bool = False) -> str:
    """Return the card as Markdown with its metadata on top.

    Args:
        config: of the saved model.
        facts: what else is known.
        has_pieces: acoustic pieces lie beside the model.
    """
    sections = {
        "Use": _use(config, facts, has_pieces),
        "Training data": facts.training_data or f"Corpora, hours, speakers: {NOT_RECORDED}.",
        "Recipe": _recipe(facts),
        "Results": _results(facts.results),
        "Limits": facts.limits
        or f"Languages, accents, ages and recordings that were not there: {NOT_RECORDED}.",
    }
    title = facts.name or method_of(config) or "Speech encoder"
    text = f"# {title}\n\n{_summary(config, facts)}\n"
    text += "".join(f"\n## {name}\n\n{content}\n" for name, content in sections.items())
    return f"---\n{_metadata(config, facts, title).to_yaml()}\n---\n\n{text}"


def method_of(config: PreTrainedConfig) -> str | None:
    """Return how a model with heads was trained, such as R-Spin."""
    return getattr(config, "objective", None)


def _metadata(config: PreTrainedConfig, facts: ModelCardInfo, title: str) -> ModelCardData:
    method = facts.method or method_of(config)
    tags = [config.model_type, *([method.lower()] if method else []), "speech", *facts.tags]
    # the Hub refuses NaN and infinity
    results = [r for r in facts.results if str(r.metric_value) not in ("nan", "inf", "-inf")]
    return ModelCardData(
        language=facts.language,
        license=facts.license,
        library_name="peft" if facts.adapter else "transformers",
        base_model=facts.base_model,
        datasets=facts.datasets or None,
        tags=tags,
        pipeline_tag="automatic-speech-recognition" if _is_ctc(config) else "feature-extraction",
        model_name=title if results else None,
        eval_results=results or None,
    )


def _summary(config: PreTrainedConfig, facts: ModelCardInfo) -> str:
    """Say in one sentence which encoder this is, made how, from what."""
    encoder = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    family = {"hubert": "HuBERT", "wavlm": "WavLM"}.get(config.model_type, config.model_type)
    text = f"{family} ({encoder})"
    method = facts.method or method_of(config)
    if facts.adapter:
        text = f"{facts.adapter.upper()} adapter for a {text}"
    if _is_ctc(config):
        text += " with a CTC head"
    origin = facts.base_model or facts.started_from
    if method:
        start = f" from {origin}" if origin else ""
        paper = f" ({PAPERS[method]})" if method in PAPERS else ""
        text += f", trained{start} with {method}{paper}: {GOALS[method]}"
    elif origin:
        text += f", made from {origin}"
    return f"{text}." if origin else f"{text}. What it started from: {NOT_RECORDED}."


def _use(config: PreTrainedConfig, facts: ModelCardInfo, has_pieces: bool) -> str:
    form = {True: ", of zero mean and unit variance", False: ", as they are", None: ""}
    text = (
        f"It reads waveforms at 16 kHz{form[facts.normalized]}; the feature extractor sees to "
        "that.\n\n"
    )
    if facts.adapter:
        code = _ADAPTER_CODE
    elif _is_ctc(config):
        code = _CTC_CODE
    else:
        code = _ENCODER_CODE + (_HEADS_CODE if method_of(config) in BUNDLED_CODE else "")
        code += _UNITS_CODE if method_of(config) in WITH_CODES else ""
    rate = SAMPLING_RATE / math.prod(config.conv_stride)
    shape = f"(batch, frames, {config.hidden_size}), {rate:g} frames per second"
    text += f"```python\n{code.replace('ADDRESS', ADDRESS).replace('SHAPE', shape)}```"
    if has_pieces:
        text += (
            "\n\n`acoustic_pieces.json` says which units each pseudo-label of the auxiliary head "
            "stands for (`hf_rspin.AcousticPieces`)."
        )
    return text


def _recipe(facts: ModelCardInfo) -> str:
    lines = []
    if facts.recipe:
        lines.append("Arguments of training that differ from their defaults; paths by their name:")
        lines.append(f"\n```yaml\n{yaml_dump(facts.recipe)}```\n")
    else:
        lines.append(f"Arguments of training: {NOT_RECORDED}.\n")
    known = {
        "updates": facts.updates and f"{facts.updates:,}",
        "hours of speech processed": facts.processed_hours and f"{facts.processed_hours:.3g}",
        "hardware": facts.hardware,
        "duration": _duration(facts.wall_seconds),
        "software": facts.software,
    }
    lines.append("\n".join(f"- {name}: {value or NOT_RECORDED}" for name, value in known.items()))
    return "\n".join(lines)


def _results(results: list[EvalResult]) -> str:
    trained = [result for result in results if result.dataset_split == "train"]
    others = [result for result in results if result.dataset_split != "train"]
    parts = [_table(others) if others else f"Evaluations: {NOT_RECORDED}."]
    if trained:
        parts.append("At the end of training, on the training data:\n\n" + _table(trained))
    return "\n\n".join(parts)


def _table(results: list[EvalResult]) -> str:
    rows = ["| data | measure | value |", "| :-- | :-- | --: |"]
    for result in results:
        data = " ".join(filter(None, (result.dataset_name, result.dataset_split)))
        rows.append(f"| {data} | {result.metric_name or result.metric_type} | "
                    f"{result.metric_value} |")  # fmt: skip
    return "\n".join(rows)


def _is_ctc(config: PreTrainedConfig) -> bool:
    return any(name.endswith("ForCTC") for name in config.architectures or [])


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} seconds"


_ENCODER_CODE = """import torch
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained("ADDRESS")
encoder = AutoModel.from_pretrained("ADDRESS").eval()
inputs = extractor(waveform, sampling_rate=16_000, return_tensors="pt")
with torch.inference_mode():
    features = encoder(**inputs).last_hidden_state  # SHAPE
"""
_HEADS_CODE = """
model = AutoModel.from_pretrained("ADDRESS", trust_remote_code=True).eval()  # with its heads
"""
_UNITS_CODE = """units = model(**inputs).units  # (batch, frames), the nearest code of each frame
"""
_CTC_CODE = """from transformers import pipeline

recognize = pipeline("automatic-speech-recognition", "ADDRESS")
print(recognize(waveform)["text"])
"""
_ADAPTER_CODE = """import hf_rspin.adapters
from huggingface_hub import snapshot_download

folder = snapshot_download("ADDRESS")  # or the folder itself
model = hf_rspin.adapters.load_adapted(folder).eval()
"""
