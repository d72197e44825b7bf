"""Plan, cut, label, train, measure: each step is skipped where it is finished already."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from hf_rspin.adapting.before_after import (
    AFTER,
    BEFORE,
    build_evaluation,
    build_report,
    compare,
    write_table,
)
from hf_rspin.adapting.calibration import forget
from hf_rspin.adapting.cutting import TABLE, cut_all, shares_recordings
from hf_rspin.adapting.estimate import TEST_MOST, TRAIN_MOST
from hf_rspin.adapting.options import SYNTHETIC, AdaptOptions
from hf_rspin.adapting.plan import (
    Plan,
    cutting_threads,
    hardware,
    make_plan,
    plan_text,
    resolve_device,
    settings_of,
    setup_of,
)
from hf_rspin.adapting.pseudo_labels import features_of, make_labels
from hf_rspin.adapting.spans import draw_spans
from hf_rspin.adapting.survey import Survey, survey_folder
from hf_rspin.adapting.wording import Wording, own_recordings
from hf_rspin.adapting.words import duration
from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.device import has_fast_bfloat16, use_large_allocations
from hf_rspin.evaluation import Evaluation, EvaluationSet, load_features
from hf_rspin.evaluation.precision import folder_precision
from hf_rspin.evaluation.table import Section, markdown_table
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.training.checkpoints import checkpoints
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import check_provenance
from hf_rspin.training.run import run_training, show_progress
from hf_rspin.utils import check_space, read_json, write_json, write_text

logger = logging.getLogger(__name__)

RESULTS = ("corpus", "labels", "model", "evaluation")
TIMES, HISTORY, REPORT, SUMMARY = "times.json", "history.json", "report.html", "summary.md"
SKIPPED, LEFT_OUT = "skipped.json", "left_out.json"
ERRORS = (*WHILE_RUNNING, "FeatureError", "NoSpaceError")
LOAD = "Load the adapted encoder"
LOADING = """from transformers import AutoModel
encoder = AutoModel.from_pretrained("{folder}")
states = encoder(waveforms).last_hidden_state  # (batch, samples) at 16 kHz -> (batch, frames, dim)
"""


def run_adaptation(options: AdaptOptions) -> None:
    """Do what `hf-rspin adapt` does.

    Mistakes that a user can mend end the process with one sentence, see `exit_on_user_error`.
    """
    show_progress()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # of loading weights
    use_large_allocations()
    with exit_on_user_error():
        adaptation = Adaptation(options)
        with output_lock(adaptation.output):
            adaptation.prepare()
    if options.plan_only:
        return
    with exit_on_user_error(ERRORS), output_lock(adaptation.output):
        adaptation.run()


class Adaptation:
    """One run in its output folder.

    Args:
        options: of the user.

    Raises:
        ValueError: the folder, the encoder or the device cannot be used.
    """

    def __init__(self, options: AdaptOptions) -> None:
        options.check_places()
        self.options, self.output = options, Path(options.output_dir)
        self.device = resolve_device(options.device)
        resolve_encoder(options.encoder)
        set_seed(options.seed)
        self.survey: Survey = survey_folder(options.folder, options.output_dir)
        self.skipped: SkippedFiles = self.survey.skipped
        self.corpus_folder, self.labels = self.output / "corpus", self.output / "labels"
        self.model = self.output / "model"
        self.steps: dict[str, tuple[Callable[[], bool], Callable[[], None]]] = {
            "cut": (lambda: (self.corpus_folder / TABLE).is_file(), self._cut),
            "labels": (lambda: (self.labels / "pieces").is_dir(), self._label),
            "train": (lambda: (self.model / HISTORY).is_file(), self._train),
            "measure": (lambda: (self.output / "evaluation" / LEFT_OUT).is_file(), self._measure),
        }

    @property
    def done(self) -> list[str]:
        """Names of finished steps."""
        return [name for name, (is_done, _) in self.steps.items() if is_done()]

    def prepare(self) -> None:
        """Make the plan, or find it again, and print it.

        Raises:
            ValueError: the folder holds a run of something else, or see `make_plan`.
        """
        settings = settings_of(self.options, self.survey)
        check_provenance(self.output, settings, RESULTS, [one.name for one in fields(AdaptOptions)])
        plan = Plan.read(self.output, settings)
        begun = any((self.output / name).exists() for name in RESULTS)
        if plan is None or (plan.hardware != hardware(self.device) and not begun):
            logger.info("Trying every step on some of the recordings ...")
            plan = make_plan(self.options, self.survey, self.device, self.output)
            plan.write(self.output)
        self.plan = plan
        print(f"\n{plan_text(plan, self.survey, self.options, self.done)}\n")  # noqa: T201
        left = [step for step in plan.steps() if step.name not in self.done]
        check_space(self.output, sum(step.disk for step in left))

    def run(self) -> None:
        """Do the steps that are not done, report, and print what came out."""
        finished = self.done
        for number, (name, (_, do)) in enumerate(self.steps.items(), 1):
            step = next(step for step in self.plan.steps() if step.name == name)
            head = f"[{number}/{len(self.steps)}] {name}"
            if name in finished:
                print(f"{head}: done before")  # noqa: T201
                continue
            print(f"{head}: {step.what}; about {duration(step.seconds)}")  # noqa: T201
            began = time.perf_counter()
            try:
                do()
            finally:
                self._add_time(name, time.perf_counter() - began)
            forget()
        summary = self.output / SUMMARY
        if len(finished) < len(self.steps) or not summary.is_file():
            self.report()
        print(f"\n{summary.read_text(encoding='utf-8')}")  # noqa: T201

    def _add_time(self, name: str, seconds: float) -> None:
        times = read_json(self.output / TIMES) or {}
        write_json(self.output / TIMES, times | {name: times.get(name, 0.0) + seconds})

    def _cut(self) -> None:
        options = self.options
        spans = draw_spans(self.survey.recordings, options.hours, options.seed)
        cut_all(spans, self.corpus_folder, options.channel, options.segment_seconds,
                self.skipped, cutting_threads(), options.seed)  # fmt: skip
        write_json(self.corpus_folder / SKIPPED, self.skipped.reasons)

    def _label(self) -> None:
        options, recipe = self.options, self.plan.recipe
        bf16 = has_fast_bfloat16(self.device)
        features = features_of(options.encoder, recipe.layer, self.device, bf16)
        rows = load_corpus(self.corpus_folder, "train", skipped=self.skipped)
        labels = make_labels(features, rows, recipe, self.labels, self.skipped, options.seed)
        print(f"      {labels.num_labels} acoustic pieces in use")  # noqa: T201

    def _train(self) -> None:
        setup = setup_of(self.options, self.device, self.output, self.plan)
        set_seed(self.options.seed)
        trainer = setup.trainer(self.plan.recipe, disable_tqdm=False)
        rows = load_corpus(self.corpus_folder, "train", skipped=self.skipped)
        trainer.card_info = ModelCardInfo(
            name=f"R-Spin adapted to {self.survey.folder.resolve().name}",
            training_data=f"Own recordings: {len(rows)} parts, {sum(rows['duration']) / 3600:.2f} "
            "h.",
        )  # fmt: skip
        run_training(trainer)
        for folder in checkpoints(self.model):  # the model is whole: nothing goes on from them
            shutil.rmtree(folder)

    def _measure(self) -> None:
        evaluation = self._evaluation()
        bf16 = folder_precision(self.output / "evaluation", None, self.device)
        for name, path in ((BEFORE, self.options.encoder), (AFTER, str(self.model))):
            evaluation.run(load_features(path, name, bf16, self.device))
            forget()
        write_json(self.output / "evaluation" / LEFT_OUT, {"left_out": evaluation.left_out})

    def _evaluation(self) -> Evaluation:
        """Return what measures on a random part of the held-out speech."""
        sets = []
        for split, most in (("train", TRAIN_MOST), ("test", TEST_MOST)):
            rows = load_corpus(self.corpus_folder, split, skipped=self.skipped)
            order = np.random.default_rng(self.options.seed).permutation(len(rows))[:most]
            sets.append(EvaluationSet.from_corpus(rows.select(sorted(order)), keep_waveforms=True))
        return build_evaluation(
            self.output / "evaluation", *sets, speakers=False, noise=self.options.noise,
            telephone=self.plan.recipe.has_telephone,
        )  # fmt: skip

    def _wording(self) -> Wording:
        with (self.corpus_folder / TABLE).open(encoding="utf-8", newline="") as file:
            is_shared = shares_recordings(csv.DictReader(file))
        return own_recordings(is_shared, self.options.noise == SYNTHETIC)

    def report(self) -> None:
        """Write `results.csv`, `report.html`, and last `summary.md`: what changed."""
        evaluation = self._evaluation()
        evaluation.left_out = read_json(self.output / "evaluation" / LEFT_OUT)["left_out"]
        wording = self._wording()
        table, said = write_table(evaluation, self.output, wording)
        section, loading = compare(table, wording), LOADING.format(folder=self.model)
        history = json.loads((self.model / HISTORY).read_text(encoding="utf-8"))
        title = f"{self.options.encoder} adapted to {self.survey.folder.resolve().name}"
        report = build_report(evaluation, history, title, section, wording)
        report.add_section(self._what_ran())
        for heading, sentences in self._notes().items():
            if sentences:
                report.add_heading(heading)
                report.add_list(sentences)
        setup = setup_of(self.options, self.device, self.output, self.plan)
        by_hand = setup.command(self.plan.recipe)
        for heading, code in ((LOAD, loading), ("Train the same by hand", by_hand)):
            report.add_heading(heading)
            report.add_code(code)
        report.write(self.output / REPORT)
        summary = f"{markdown_table(section.headers, section.rows)}\n\n{said}\n\n"
        summary += f"model:  {self.model}\nreport: {self.output / REPORT}\n\n{loading}"
        write_text(self.output / SUMMARY, summary)

    def _notes(self) -> dict[str, list[str]]:
        known = read_json(self.corpus_folder / SKIPPED) or {}
        skipped = {**known, **self.skipped.reasons}
        return {"Recordings": [*self.survey.lines(), *self.plan.remarks],
                "Files left out": list(skipped.values())}  # fmt: skip

    def _what_ran(self) -> Section:
        """Return the steps with their estimated and their real times."""
        times = read_json(self.output / TIMES) or {}
        rows = [[f"{step.name}: {step.what}", duration(step.seconds),
                 duration(times[step.name]) if step.name in times else "so far"]
                for step in self.plan.steps()]  # fmt: skip
        return Section("What ran", ["step", "estimated", "took"], rows,
                       f"On {self.plan.hardware}.")  # fmt: skip
