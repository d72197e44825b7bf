"""The plan of a run: what was found, what will be done, and what that takes on this machine."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hf_rspin.adapting.calibration import Calibration, Rates
from hf_rspin.adapting.channels import APART, correlation
from hf_rspin.adapting.cutting import cut_some
from hf_rspin.adapting.estimate import (
    Amounts,
    Step,
    estimate,
    step_rows,
    within,
)
from hf_rspin.adapting.options import AUTO, AdaptOptions
from hf_rspin.adapting.recipe import Recipe, recipe_for
from hf_rspin.adapting.spans import Span, draw_spans, read_span
from hf_rspin.adapting.survey import Survey
from hf_rspin.adapting.training import TrainingSetup
from hf_rspin.adapting.words import duration
from hf_rspin.audio import AudioError
from hf_rspin.device import check_device, has_fast_bfloat16
from hf_rspin.training.run_card import describe_hardware
from hf_rspin.training.view_arguments import ViewArguments
from hf_rspin.utils import read_json, write_json

PLAN = "plan.json"
TRIED_SPEECH, TRIED_SPAN = 45.0, 60.0  # seconds that a calibration works on, of each span
CHECKPOINT_SECONDS = 600.0  # between two checkpoints: what a kill may cost
COMPARED = 5  # recordings whose channels are compared


@dataclass
class Plan:
    """All that is decided before the first step.

    Attributes:
        settings: that decide the results.
        hardware: that the rates were measured on.
        amounts: of recordings and speech.
        recipe: of R-Spin.
        rates: of the calibration.
        remarks: sentences for the user.
        workers: processes that make views.
        calibrated: seconds that the calibration took.
    """

    settings: dict[str, Any]
    hardware: str
    amounts: Amounts
    recipe: Recipe
    rates: Rates
    remarks: list[str]
    workers: int
    calibrated: float

    def steps(self) -> list[Step]:
        """Return the steps with what they take."""
        return estimate(self.amounts, self.recipe, self.rates, self.workers)

    def save_steps(self) -> int:
        """Return how many updates lie between two checkpoints."""
        (train,) = (step for step in self.steps() if step.name == "train")
        each = train.seconds / self.recipe.max_steps
        return max(1, min(self.recipe.max_steps, int(CHECKPOINT_SECONDS / max(each, 1e-6))))

    def write(self, folder: Path) -> None:
        """Write `plan.json`, whole or not at all."""
        write_json(folder / PLAN, {
            **vars(self), "amounts": asdict(self.amounts), "recipe": self.recipe.to_json(),
            "rates": self.rates.to_json(), "steps": [step.to_json() for step in self.steps()],
        }, indent=1)  # fmt: skip

    @classmethod
    def read(cls, folder: Path, settings: dict[str, Any]) -> Plan | None:
        """Return the plan of equal settings in a folder; None where there is none."""
        content = read_json(folder / PLAN)
        if content is None or content.get("settings") != settings:
            return None
        try:
            del content["steps"]
            content["amounts"] = Amounts(**content["amounts"])
            content["recipe"] = Recipe.from_json(content["recipe"])
            content["rates"] = Rates.from_json(content["rates"])
            return cls(**content)
        except (KeyError, TypeError):  # of another version
            return None


def resolve_device(name: str) -> str:
    """Return cuda or cpu for `auto`, and another name as it is.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return check_device(name)


def settings_of(options: AdaptOptions, survey: Survey) -> dict[str, Any]:
    """Return everything that decides the results, as JSON values."""
    kept = ("encoder", "channel", "noise", "hours", "max_steps", "wall_hours", "batch_seconds",
            "layer", "num_clusters", "vocab_size", "segment_seconds", "seed")  # fmt: skip
    found = f"{len(survey.recordings)} files, {survey.seconds / 3600:.3f} h ({survey.key()})"
    return {
        "recordings": found, "telephone": wants_telephone(options, survey),
        **{name: getattr(options, name) for name in kept},
    }  # fmt: skip


def wants_telephone(options: AdaptOptions, survey: Survey) -> bool:
    """Say whether views are coded as telephones do."""
    return survey.is_telephone if options.telephone == AUTO else options.telephone == "true"


def setup_of(options: AdaptOptions, device: str, output: Path, plan: Plan | None) -> TrainingSetup:
    """Return where and on what the run trains."""
    return TrainingSetup(
        encoder=options.encoder, corpus=output / "corpus", noise=options.noise,
        pseudo_labels=output / "labels" / "pieces", output_dir=output / "model", device=device,
        bf16=has_fast_bfloat16(device), seed=options.seed,
        batch_seconds=plan.rates.batch_seconds if plan else 24.0,
        save_steps=plan.save_steps() if plan else 1, workers=plan.workers if plan else 0,
    )  # fmt: skip


def make_plan(options: AdaptOptions, survey: Survey, device: str, output: Path) -> Plan:
    """Try everything on some of the recordings, and decide.

    Args:
        options: of the user.
        survey: of the recordings.
        device: cpu or cuda.
        output: folder of the run.

    Raises:
        ValueError: encoder, noise or a setting cannot be used, or there is nothing to hear.
    """
    started = time.perf_counter()
    ViewArguments(noise=options.noise, noise_split=AUTO).load_noise()  # is there any?
    recipe = recipe_for(options, wants_telephone(options, survey))
    spans = draw_spans(survey.recordings, options.hours, options.seed)
    began = time.perf_counter()
    parts, read = cut_some(spans, options.channel, options.segment_seconds, TRIED_SPEECH,
                           TRIED_SPAN, survey.skipped, cutting_threads())  # fmt: skip
    if not parts:
        raise ValueError(
            f"there is nothing to hear in {survey.folder} ({read:.0f} s were listened to); "
            "expected speech: name another folder or another --channel."
        )
    if len(parts) < 2:
        raise ValueError(
            f"there is one stretch of speech in {survey.folder} ({parts[0].seconds:.0f} s of "
            f"{read:.0f} s that were listened to), and none to hold out for the evaluation; "
            "expected several recordings, or a longer one."
        )
    amounts = _amounts(options, spans, parts, read, (time.perf_counter() - began) / read)
    recipe = recipe.fitted(amounts.train, options)
    setup = setup_of(options, device, output, None)
    rates = Calibration(parts, recipe, setup, options.batch_seconds).run()
    workers = min(8, max(1, cpus() - 1)) if device != "cpu" else 0
    if options.wall_hours is not None:
        recipe = within(options.wall_hours, amounts, recipe, rates, workers)
    remarks = [*_channel_remarks(options, spans), *_amount_remarks(amounts)]
    return Plan(
        settings_of(options, survey), hardware(device), amounts, recipe, rates, remarks, workers,
        time.perf_counter() - started,
    )  # fmt: skip


def plan_text(plan: Plan, survey: Survey, options: AdaptOptions, done: list[str]) -> str:
    """Return the plan as it is printed.

    Args:
        plan: of the run.
        survey: of the recordings.
        options: of the user.
        done: names of the steps that are finished already.
    """
    recipe = plan.recipe
    phone = "on" if plan.settings["telephone"] else "off"
    text = [f"Found in {survey.folder}", *(f"  {line}" for line in survey.lines()), "",
            f"What will run on {plan.hardware}",
            f"  {options.encoder}: {recipe.parameters / 1e6:.1f} million parameters, "
            f"{recipe.num_layers} layers; recipe {' + '.join(recipe.files)}; telephone coding "
            f"{phone}; noise {options.noise}; channel {options.channel}"]  # fmt: skip
    rows = step_rows(plan.steps())
    for row in rows:
        row[0] += " (done)" if row[0] in done else ""
    text += _aligned([["step", "what", "time", "memory", "disk"], *rows])
    text += [f"  {line}" for line in [*plan.remarks, _method(plan)]]
    return "\n".join(text)


def hardware(device: str) -> str:
    """Name the device."""
    return describe_hardware(torch.device(device), 1)


def cpus() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cutting_threads() -> int:
    """Return how many spans are cut at once."""
    return min(4, cpus())


def _amounts(
    options: AdaptOptions, spans: list[Span], parts: list, read: float, read_rate: float
) -> Amounts:
    whole = sum(span.stop - span.start for span in spans)
    share = sum(part.seconds for part in parts) / read
    heard = whole
    if options.channel == "separate":
        heard = sum((span.stop - span.start) * span.recording.channels for span in spans)
    return Amounts(whole, share * whole, read_rate, options.segment_seconds, heard)


def _channel_remarks(options: AdaptOptions, spans: list[Span]) -> list[str]:
    """Say where the two channels of recordings hear different things."""
    stereo = [span for span in spans if span.recording.channels == 2][:COMPARED]
    if options.channel == "separate" or not stereo:
        return []
    found = []
    for span in stereo:
        try:
            found.append(correlation(read_span(span, TRIED_SPAN)[0]))
        except AudioError:  # told elsewhere
            continue
    if not found or sum(found) / len(found) > APART:
        return []
    mean = round(sum(found) / len(found), 2) + 0.0  # no -0.00
    return [
        f"the two channels of stereo recordings differ (correlation {mean:.2f} "
        f"in {len(found)} of them): if each is a speaker of its own, as in calls, give --channel "
        "separate."
    ]


def _amount_remarks(amounts: Amounts) -> list[str]:
    if amounts.train < 600:
        return [f"{amounts.train / 60:.1f} min of speech is little: expect little of it."]
    return []


def _method(plan: Plan) -> str:
    return (
        f"time: measured in {duration(plan.calibrated)} on some of these recordings, "
        f"{plan.rates.batch_seconds:g} s in memory at once, and scaled; memory: its peak and a "
        "third, and what grows with the recordings by size; disk by size."
    )


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            .rstrip() for row in rows]  # fmt: skip
