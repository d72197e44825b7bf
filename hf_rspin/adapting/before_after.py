"""What an adaptation changed, measured on held-out speech: table, verdict, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hf_rspin.adapting.options import SYNTHETIC
from hf_rspin.adapting.wording import CORPUS, Wording, measured_on
from hf_rspin.audio import SAMPLING_RATE
from hf_rspin.data import load_corpus
from hf_rspin.evaluation import (
    BackgroundNoise,
    CkaProbe,
    Evaluation,
    EvaluationSet,
    GaussianNoise,
    LinearPhones,
    Reverberation,
    SpeakerIdentification,
    UnitProbe,
    synthesize_rirs,
    to_table,
)
from hf_rspin.evaluation.conditions import CLEAN, Telephone
from hf_rspin.evaluation.long_table import with_labels
from hf_rspin.evaluation.report import Report, evaluation_report
from hf_rspin.evaluation.table import Section
from hf_rspin.evaluation.verdict import verdict
from hf_rspin.resources import sample_noises
from hf_rspin.utils import write_text
from hf_rspin.views import NoiseBank

BEFORE, AFTER = "before", "after"
SUMMARY = """R-Spin adapted a speech encoder without labels: two noisy views of each utterance, one
in another voice, must get the same code, and both must tell the acoustic piece of each frame. All
figures are of utterances that were not trained on. "Unseen" distortions were not part of
training."""
MOST_NOISES = 200  # recordings of a user's noise that are measured in
# what needs no labels: metric, how it is called, conditions, digits
UNLABELLED = (
    ("cka_debiased", "similarity with {clean} (CKA)", "distorted", 3),
    ("unit_agreement", "frames that keep their unit", "distorted", 3),
    ("unit_perplexity", "units in use on {clean} (perplexity)", "clean", 1),
)


def build_evaluation(
    folder: Path,
    train: EvaluationSet,
    test: EvaluationSet,
    speakers: bool = True,
    noise: str = SYNTHETIC,
    telephone: bool = False,
) -> Evaluation:
    """Return what measures encoders under distortions that training saw, and others.

    Args:
        folder: for the cells.
        train: utterances to learn on.
        test: utterances to measure on.
        speakers: ask whether voices are told apart, where the utterances name them.
        noise: folder that training draws from, or synthetic.
        telephone: training codes views as telephones do.
    """
    seen = _made_up("seen") if noise == SYNTHETIC else _own_noise(noise)
    conditions = [seen, _made_up("unseen")]
    conditions += [GaussianNoise(name="Gaussian (unseen)")]
    conditions += [Reverberation(synthesize_rirs(5), name="rooms (unseen)")]
    if telephone:
        conditions.append(Telephone())
    probes = [LinearPhones(), CkaProbe()]
    if speakers:
        probes.append(SpeakerIdentification("train", all_layers=False))
    probes.append(UnitProbe(max_utterances=None))
    return Evaluation(
        folder, test, conditions, probes, train, torch.float32, encoders=[BEFORE, AFTER]
    )


def _made_up(kind: str) -> BackgroundNoise:
    """Return synthetic noise: of the kinds that training hears where none is given, or others."""
    return BackgroundNoise(NoiseBank(list(sample_noises(kind, seed=2).values())),
                           name=f"{kind} noise")  # fmt: skip


def _own_noise(folder: str) -> BackgroundNoise:
    """Return recorded noise: of the split test, which training does not hear, or else all."""
    rows = load_corpus(folder)
    splits = rows["split"] if "split" in rows.column_names else []
    places = [index for index, split in enumerate(splits) if split == "test"]
    name = "your noise (unseen)" if places else "your noise"
    places = places or range(len(rows))
    chosen = np.random.default_rng(0).permutation(places)[:MOST_NOISES]
    return BackgroundNoise(NoiseBank(rows.select(sorted(chosen))["audio"]), name=name)


def compare(table: pd.DataFrame, wording: Wording = CORPUS) -> Section:
    """Return before and after in one table, means over the layers.

    Args:
        table: of `to_table`, with the encoders before and after.
        wording: how the speech is called.
    """
    table, rows = with_labels(table), []
    for metric, title, conditions, digits in UNLABELLED:
        title = title.format(clean=wording.clean)
        part = table[table["metric"] == metric]
        part = part[(part["condition"] == CLEAN) == (conditions == "clean")]
        for label in dict.fromkeys(part["label"]):
            lines = part[part["label"] == label]
            values = [float(lines[lines["encoder"] == name]["value"].mean())
                      for name in (BEFORE, AFTER)]  # fmt: skip
            what = title if conditions == "clean" else f"{title}, {label}"
            change = values[1] - values[0]
            rows.append([what, *(f"{v:.{digits}f}" for v in values), f"{change:+.{digits}f}"])
    caption = """Means over the layers. Similarity and kept units say how little a distortion moves
    what the encoder hears: higher is more robust. Both are worth little if the encoder calls
    everything the same: the units in use without distortion should not fall."""
    return Section("Before and after", ["figure", BEFORE, AFTER, "change"], rows,
                   " ".join(caption.split()))  # fmt: skip


def conclusion(evaluation: Evaluation, table: pd.DataFrame, wording: Wording) -> str:
    """Say what was measured on, the verdict, and what it must be read with."""
    test = evaluation.test
    seconds = [len(test.read(index)) / SAMPLING_RATE for index in range(len(test))]
    said = verdict(table, BEFORE, AFTER, wording.clean)
    return " ".join([measured_on(seconds, wording.part), said, *wording.remarks])


def write_table(
    evaluation: Evaluation, output: Path, wording: Wording = CORPUS
) -> tuple[pd.DataFrame, str]:
    """Write `results.csv` of both encoders; return the long table and the conclusion.

    Args:
        evaluation: in which they were run.
        output: folder.
        wording: how the speech is called.
    """
    table = to_table(evaluation.cells())
    write_text(output / "results.csv", table.to_csv(index=False))
    return table, conclusion(evaluation, table, wording)


def build_report(
    evaluation: Evaluation,
    history: Sequence[Mapping[str, Any]],
    title: str,
    first: Section | None = None,
    wording: Wording = CORPUS,
) -> Report:
    """Return the report, to which more may be added before it is written.

    Args:
        evaluation: in which both encoders were run.
        history: logged training steps.
        title: of the page.
        first: table on top.
        wording: how the speech is called.
    """
    table = to_table(evaluation.cells())
    summary = f"{SUMMARY} {conclusion(evaluation, table, wording)}"
    report = evaluation_report(
        table, title, summary, evaluation.left_out, history, first=first, reference=BEFORE
    )
    if wording != CORPUS:
        report.call_clean(wording.clean)
    return report
