"""What an adaptation changed, measured on held-out speech: table, verdict, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

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
from hf_rspin.evaluation.conditions import CLEAN
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
# what needs no labels: metric, how it is called, conditions, digits
UNLABELLED = (
    ("cka_debiased", "similarity with clean speech (CKA)", "distorted", 3),
    ("unit_agreement", "frames that keep their unit", "distorted", 3),
    ("unit_perplexity", "units in use on clean speech (perplexity)", "clean", 1),
)


def build_evaluation(
    folder: Path, train: EvaluationSet, test: EvaluationSet, speakers: bool = True
) -> Evaluation:
    """Return what measures encoders under distortions that training saw, and others.

    Args:
        folder: for the cells.
        train: utterances to learn on.
        test: utterances to measure on.
        speakers: ask whether voices are told apart, where the utterances name them.
    """
    conditions = [
        BackgroundNoise(NoiseBank(list(sample_noises(kind, seed=2).values())), name=f"{kind} noise")
        for kind in ("seen", "unseen")
    ]
    conditions += [GaussianNoise(name="Gaussian (unseen)")]
    conditions += [Reverberation(synthesize_rirs(5), name="rooms (unseen)")]
    probes = [LinearPhones(), CkaProbe()]
    if speakers:
        probes.append(SpeakerIdentification("train", all_layers=False))
    probes.append(UnitProbe(max_utterances=None))
    return Evaluation(
        folder, test, conditions, probes, train, torch.float32, encoders=[BEFORE, AFTER]
    )


def compare(table: pd.DataFrame) -> Section:
    """Return before and after in one table, means over the layers.

    Args:
        table: of `to_table`, with the encoders before and after.
    """
    table, rows = with_labels(table), []
    for metric, title, conditions, digits in UNLABELLED:
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
    everything the same: the units in use on clean speech should not fall."""
    return Section("Before and after", ["figure", BEFORE, AFTER, "change"], rows,
                   " ".join(caption.split()))  # fmt: skip


def write_table(evaluation: Evaluation, output: Path) -> tuple[pd.DataFrame, str]:
    """Write `results.csv` of both encoders; return the long table and the verdict.

    Args:
        evaluation: in which they were run.
        output: folder.
    """
    table = to_table(evaluation.cells())
    write_text(output / "results.csv", table.to_csv(index=False))
    return table, verdict(table, BEFORE, AFTER)


def build_report(
    evaluation: Evaluation,
    history: Sequence[Mapping[str, Any]],
    title: str,
    first: Section | None = None,
) -> Report:
    """Return the report, to which more may be added before it is written.

    Args:
        evaluation: in which both encoders were run.
        history: logged training steps.
        title: of the page.
        first: table on top.
    """
    table = to_table(evaluation.cells())
    summary = f"{SUMMARY} {verdict(table, BEFORE, AFTER)}"
    return evaluation_report(
        table, title, summary, evaluation.left_out, history, first=first, reference=BEFORE
    )
