"""Layer-wise analysis of encoders and of their units: the evaluator, with other probes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from hf_rspin.cost import COST_FILE, cost_cells, cost_table
from hf_rspin.data.corpus import load_corpus
from hf_rspin.evaluation.analysis_arguments import COST, WHAT, AnalysisArguments
from hf_rspin.evaluation.arguments import USUAL_PROBES
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.label_quality import (
    equal_length_quality,
    label_quality,
    label_section,
)
from hf_rspin.evaluation.plots import plot_unit_use
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.evaluation.probes.base import Drawing
from hf_rspin.evaluation.results import Extra, write_results
from hf_rspin.evaluation.run import run_evaluation
from hf_rspin.evaluation.table import Section
from hf_rspin.nearby import did_you_mean
from hf_rspin.training.cli import exit_on_user_error
from hf_rspin.units import FrameLabels

SUMMARY = """Each encoder is frozen. Layer by layer: how far distortions move it, what it tells of
speakers, phones and words, and what its units know of phones and of their boundaries."""
_USE = "How often each label occurs, as segments of equal labels; the most frequent one first."


def run_analysis(arguments: AnalysisArguments, settings: ProbeArguments) -> str:
    """Measure what was asked for, write results and report; return the tables.

    Mistakes that a user can mend end the process with one sentence, see `exit_on_user_error`.
    """
    with exit_on_user_error():
        _check(arguments)
        extra = Extra("Analysis of speech encoders", SUMMARY)
        if COST in arguments.what and arguments.runs:
            _add_cost(extra, arguments.runs)
        elif COST in arguments.what:
            extra.left_out.append(
                "cost is left out: no folder of --encoders tells what its training cost; "
                "give --runs."
            )
        if arguments.labels:
            _add_labels(extra, arguments)
    arguments.probes = [WHAT[name] for name in arguments.what if name != COST]
    if arguments.encoders:
        return run_evaluation(arguments, settings, _special(arguments), extra)
    return write_results([], Path(arguments.output_dir), extra=extra)


def _check(arguments: AnalysisArguments) -> None:
    """Refuse what cannot be done, before anything is read."""
    if arguments.probes != USUAL_PROBES:
        raise ValueError("`analyse` takes --what, not --probes; `evaluate` takes those.")
    for name in arguments.what:
        if name not in (*WHAT, COST):
            choices = [*WHAT, COST]
            hint = did_you_mean(name, choices)
            raise ValueError(f"got --what {name}; expected some of {', '.join(choices)}{hint}")
    if not (arguments.encoders or arguments.labels or (COST in arguments.what and arguments.runs)):
        raise ValueError(
            "nothing to analyse: give --encoders and --corpus, --labels and --corpus, or --what "
            "cost with --runs; see --help."
        )
    if COST in arguments.what and not arguments.runs:
        arguments.runs = [one for one in arguments.encoders if (Path(one) / COST_FILE).is_file()]
    if set(arguments.what) == {COST} and not arguments.runs:
        raise ValueError(
            "--what cost needs --runs: folders of training runs; no folder of --encoders tells "
            "what its training cost."
        )
    if "sts" in arguments.what and arguments.sts is None:
        raise ValueError("--what sts needs --sts: a folder of spoken sentence pairs.")
    if (arguments.encoders or arguments.labels) and not arguments.corpus:
        raise ValueError("give --corpus, a folder of audio; see --help.")


def _special(arguments: AnalysisArguments) -> dict[str, dict[str, Any]]:
    """Return the settings of the probes that differ from an evaluation's."""
    boundaries = {"tolerance": arguments.tolerance, "matcher": arguments.matcher}
    return {
        "segmentation": {"num_units": arguments.num_units, **boundaries},
        "pwcca": {"protocol": arguments.protocol, "embeddings": arguments.embeddings},
        "sts": {"corpus": arguments.sts},
        "tsne": {"layer": arguments.layer},
    }


def _add_cost(extra: Extra, runs: list[str]) -> None:
    table = cost_table(runs)
    if len(table.attrs["left_out"]) == len(runs):
        raise ValueError(
            f"no run of --runs tells what it cost: {' '.join(table.attrs['left_out'])} Give the "
            f"output folders of trainings, which hold {COST_FILE}."
        )
    extra.sections.append(Section("Cost (Table 5 of R-Spin)", *cost_cells(table)))
    extra.left_out += table.attrs["left_out"]


def _add_labels(extra: Extra, arguments: AnalysisArguments) -> None:
    """Compare frame labels with the phones of whatever split they were made of."""
    # cut as `hf-rspin labels` cuts, whose labels have the ids of parts
    corpus = load_corpus(
        arguments.corpus, decode=False, segment_seconds=arguments.segment_seconds or None
    )
    utterances = EvaluationSet.from_corpus(
        corpus, arguments.strip_stress, least_score=arguments.least_alignment_score
    )
    labels = {folder: FrameLabels.load(folder) for folder in arguments.labels}
    how = (arguments.tolerance, arguments.matcher)
    qualities = {name: label_quality(one, utterances, *how) for name, one in labels.items()}
    baseline = equal_length_quality(next(iter(labels.values())), utterances, *how)
    extra.sections.append(label_section(qualities, baseline, *how))
    where = f"Corpus {Path(arguments.corpus).name}; {time.strftime('%Y-%m-%d')}."
    counts = {name: one.counts for name, one in qualities.items()}
    extra.drawings.append(Drawing("Labels in use", plot_unit_use(counts), f"{_USE} {where}"))
