"""What the commands `units` and `features` share: from their options to a finished folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import torch

from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.device import check_device, use_large_allocations
from hf_rspin.extraction.merge import merge, missing
from hf_rspin.extraction.options import ExtractionOptions
from hf_rspin.extraction.output import DATA, OutputFolder
from hf_rspin.extraction.run import Describer, extract, split_rows
from hf_rspin.sharding import part_of, shard_of_process
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error
from hf_rspin.training.output_lock import output_lock
from hf_rspin.training.provenance import corpus_key
from hf_rspin.training.run import show_progress
from hf_rspin.training.run_card import describe_hardware
from hf_rspin.utils import check_space

logger = logging.getLogger(__name__)

# loads the model on a device; and says how many seconds of audio go into a file
Load = Callable[[str], tuple[Describer, float]]


def run_command(options: ExtractionOptions, load: Load) -> None:
    """Extract what the options say and end with one sentence where a user can mend something.

    Args:
        options: of the command line.
        load: makes what turns waveforms into columns, on a device.
    """
    show_progress()
    use_large_allocations()
    output = Path(options.output_dir)
    if options.merge:
        with exit_on_user_error():
            _finish(output, must=True)
        return
    skipped = SkippedFiles(options.strict)
    with exit_on_user_error():
        shard = shard_of_process(options.shard, options.num_shards)
        check_outside(options.corpus, output)
        device = check_device(options.device)
        corpus = read_corpus(options, skipped)
        describer, file_seconds = load(device)
        files = split_rows(np.asarray(corpus["duration"]), file_seconds)
        provenance = {**describer.provenance, **corpus_key(corpus), "files": len(files),
                      "rows": boundaries(files), "format": options.format}  # fmt: skip
        folder = OutputFolder(output, options.format, len(files), provenance)
        left = [files[n] for n in part_of(range(len(files)), *shard) if not folder.is_finished(n)]
        seconds = sum(np.asarray(corpus["duration"])[np.concatenate(left)]) if left else 0.0
        check_space(output, seconds * describer.bytes_per_second)
        about = {**describer.about, "format": options.format}
        about["read"] = reading_lines(output, options.format, describer.main_column)
        folder.begin(len(corpus), about, skipped.reasons)
    hours = sum(corpus["duration"]) / 3600
    logger.info(
        "%d utterances, %.2f h, in %d files; shard %d of %d, on %s.",
        len(corpus), hours, len(files), *shard, describe_hardware(torch.device(device), 1),
    )  # fmt: skip
    lock = output / f".shard_{shard[0]}_of_{shard[1]}" if shard[1] > 1 else output
    mendable = (*WHILE_RUNNING, "FeatureError", "NoSpaceError", "OSError")
    with exit_on_user_error(mendable), output_lock(lock):
        extract(describer, corpus, folder, files, shard, options.batch_seconds, skipped)
    logger.info("%s", skipped.summary())
    with exit_on_user_error():
        _finish(output)


def boundaries(files: list[np.ndarray]) -> str:
    """Return what tells one division into files from others."""
    counts = json.dumps([len(rows) for rows in files])
    return hashlib.sha256(counts.encode()).hexdigest()[:16]


def check_outside(corpus: str, output: Path) -> None:
    """Refuse an output folder in that of the corpus, whose files would be read as a part of it.

    Raises:
        ValueError: see above.
    """
    if Path(corpus).is_dir() and output.resolve().is_relative_to(Path(corpus).resolve()):
        raise ValueError(
            f"{output} lies in the corpus {corpus}, which would hold its own units or features "
            "from now on; name a folder outside of it."
        )


def read_corpus(options: ExtractionOptions, skipped: SkippedFiles) -> datasets.Dataset:
    """Return the rows to be read, long recordings cut at pauses.

    Raises:
        ValueError: nothing in the corpus can be used.
    """
    from hf_rspin.training.corpus_arguments import split_name

    return load_corpus(
        options.corpus,
        split_name(options.corpus_split),
        min_seconds=options.min_seconds,
        skipped=skipped,
        audio_column=options.audio_column,
        segment_seconds=options.segment_seconds or None,
    )


def reading_lines(folder: Path, file_format: str, column: str) -> list[str]:
    """Return three lines of Python that read `column` of the first utterance."""
    place = (folder / DATA).as_posix()
    if file_format == "parquet":
        return [
            "import numpy, pandas",
            f'table = pandas.read_parquet("{place}")  # or datasets.load_dataset("{place}")',
            f'numpy.stack(table["{column}"][0])  # of the first utterance',
        ]
    if file_format == "npz":
        return [
            "import glob, numpy",
            f'file = numpy.load(sorted(glob.glob("{place}/*.npz"))[0])  # the first of the files',
            f'file["{column}/" + file["id"][0]]  # of its first utterance',
        ]
    return [
        "import datasets",
        f'table = datasets.load_from_disk("{place}").with_format("numpy")',
        f'table[0]["{column}"]  # of the first utterance',
    ]


def _finish(output: Path, must: bool = False) -> None:
    """Write the index where everything is there; say what is missing otherwise.

    Raises:
        ValueError: something is missing and `must` be there, or see `merge`.
    """
    index = merge(output)
    if index is None:
        if must:
            raise ValueError(missing(output))
        logger.info("%s", missing(output))
        return
    logger.info(
        "%d utterances (%.2f h) in %s; %d recordings left out; read it with:\n%s",
        index["utterances"], index["hours"], output / DATA, len(index["skipped"]),
        "\n".join(f"    {line}" for line in index["read"]),
    )  # fmt: skip
