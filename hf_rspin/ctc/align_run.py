"""Run a forced alignment of a corpus: model and transcripts -> times of phones and words."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from tqdm import tqdm

from hf_rspin.audio import AudioError
from hf_rspin.ctc import load_ctc_model
from hf_rspin.ctc.align_arguments import AlignArguments
from hf_rspin.ctc.align_corpus import CorpusAligner, NotAlignedError, read_rules
from hf_rspin.ctc.alignment_lines import AlignmentLines, resumable_lines
from hf_rspin.data import load_corpus
from hf_rspin.data.folders import ALIGNMENTS
from hf_rspin.data.tables import PATH_COLUMNS
from hf_rspin.data.transcripts import TARGETS, TranscriptRules, choose_target
from hf_rspin.device import check_device
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error
from hf_rspin.training.corpus_arguments import split_name
from hf_rspin.training.run import show_progress


def load_rows(
    arguments: AlignArguments, rules: TranscriptRules
) -> tuple[datasets.Dataset, list[str]]:
    """Return the corpus and the name of each file, as `alignments.jsonl` calls it.

    Raises:
        ValueError: it lacks the column, or rows have no file of their own.
    """
    if arguments.column not in ("auto", rules.target):
        raise ValueError(
            f"--column is {arguments.column}, but {arguments.model} was trained on {rules.target}; "
            f"expected a model of {arguments.column}, or --column {rules.target}."
        )
    split = split_name(arguments.split)
    corpus = load_corpus(arguments.corpus, split, text_column=arguments.text_column)
    choose_target(corpus.column_names, rules.target)
    column = next((name for name in PATH_COLUMNS if name in corpus.column_names), None)
    names = [str(name) for name in corpus[column]] if column else []
    if len(set(names)) < len(corpus):
        raise ValueError(
            f"{arguments.corpus} has rows without a file of their own; expected a column "
            "`file_name`, no name twice: save the audio as one file for each utterance."
        )
    return corpus, names


def load_aligner(arguments: AlignArguments) -> CorpusAligner:
    """Return the aligner, on its device.

    Raises:
        ValueError: the folder holds no CTC model that can be used.
    """
    device = check_device(arguments.device)
    if not Path(arguments.model).is_dir():
        raise ValueError(
            f"{arguments.model} does not exist; expected a folder of `hf-rspin finetune-ctc`."
        )
    model, processor = load_ctc_model(arguments.model)
    rules = read_rules(Path(arguments.model), processor.tokenizer)
    spread = None if arguments.spread == -1 else arguments.spread
    return CorpusAligner(model.to(device), processor, rules, spread)


def rows_to_do(
    aligner: CorpusAligner,
    corpus: datasets.Dataset,
    names: Sequence[str],
    lines: AlignmentLines,
    overwrite: bool,
) -> list[int]:
    """Return the rows that have no line yet.

    Raises:
        ValueError: the output has lines of them that were made otherwise.
    """
    todo = []
    rows = corpus.select_columns([one for one in TARGETS if one in corpus.column_names])
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        key = aligner.key(row)
        finished, found = lines.finished.get(name, {}), lines.found.get(name, {})
        if key in (finished.get("aligner"), found.get("aligner")):
            continue
        if finished and not overwrite:
            raise ValueError(
                f"{lines.output} has a line of {name} that was made otherwise (another model, "
                "transcript or option, or no alignment of this script): name another --output, or "
                "pass --overwrite true."
            )
        todo.append(index)
    return todo


def align_all(
    aligner: CorpusAligner,
    corpus: datasets.Dataset,
    names: Sequence[str],
    todo: Sequence[int],
    lines: AlignmentLines,
) -> dict[str, str]:
    """Align the rows of `todo`; return why some could not be, by name."""
    reasons = {}
    for index in tqdm(todo, "Aligning", unit="utterance"):
        row: dict[str, Any] = corpus[index]
        try:
            lines.add(aligner.align(row, names[index]))
        except (NotAlignedError, AudioError) as error:
            lines.leave_out(names[index])
            reasons[names[index]] = str(error)
    return reasons


def align_phones(arguments: AlignArguments) -> None:
    """Align a corpus and say what could not be aligned.

    Mistakes that a user can mend end the process with one sentence, see `exit_on_user_error`.
    """
    show_progress()
    output = Path(arguments.output)
    with contextlib.ExitStack() as stack:
        with exit_on_user_error():
            aligner = load_aligner(arguments)
            corpus, names = load_rows(arguments, aligner.rules)
            lines = stack.enter_context(resumable_lines(output))
            todo = rows_to_do(aligner, corpus, names, lines, arguments.overwrite)
        with exit_on_user_error(WHILE_RUNNING):
            reasons = align_all(aligner, corpus, names, todo, lines)
    for name, reason in reasons.items():
        print(f"{name} was not aligned: {reason}")
    print(f"{len(names) - len(reasons)} of {len(names)} utterances are aligned in {output}.")
    if len(reasons) == len(names):
        sys.exit("No utterance could be aligned: do model and transcripts belong together?")
    if output.name != ALIGNMENTS:
        print(f"To be read with the corpus, it has to be called {ALIGNMENTS}, in its folder.")
