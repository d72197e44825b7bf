"""Long recordings become rows that name a part of them; nothing is written or decoded twice."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
from tqdm.auto import tqdm

from hf_rspin.audio import (
    FRAME_SHIFT,
    SAMPLING_RATE,
    AudioError,
    audio_duration,
    audio_name,
    read_audio,
)
from hf_rspin.data.identifiers import segment_id
from hf_rspin.data.memory import add_cells
from hf_rspin.data.part_labels import OF_WHOLES, SEQUENCES, TIMES, labels_of_parts
from hf_rspin.data.skipped import SkippedFile, SkippedFiles

logger = logging.getLogger(__name__)

LONG_SECONDS = 60.0  # recordings up to this length are utterances and stay whole
USUAL_SHARE = 0.8  # of the longest part; the rest is how far from the even cut the pause may be
PROGRESS_FROM = 20  # recordings
QUIET_FRAMES = 10  # frames of 20 ms: the pause that is looked for


def cut_at_pauses(
    corpus: datasets.Dataset,
    segment_seconds: float,
    skipped: SkippedFiles | None = None,
    longer_than: float = LONG_SECONDS,
) -> datasets.Dataset:
    """Cut recordings above `longer_than` seconds into parts, each in the quietest place nearby.

    The parts stay in their files: `audio` gets "start" and "stop" in seconds (multiples of 20 ms),
    which `read_audio` seeks to. Of each recording only the surroundings of its cuts are read.
    Times of phones and words are cut with them; transcripts too, where times say which part has
    which word, else the parts have none, see `labels_of_parts`.

    Args:
        corpus: see `load_corpus`.
        segment_seconds: the longest part.
        skipped: is given recordings that cannot be read, once each.
        longer_than: shorter recordings stay whole.

    Returns:
        The rows in the same order; a part is called `<id>_<start>-<stop>`.

    Raises:
        ValueError: `segment_seconds` is below one second.
    """
    if not segment_seconds >= 1:
        raise ValueError(f"segment_seconds is {segment_seconds}; expected at least 1.")
    limit = max(longer_than, segment_seconds)
    skipped = SkippedFiles() if skipped is None else skipped
    long_rows = [row for row, seconds in enumerate(corpus["duration"]) if seconds > limit]
    if not long_rows:
        return corpus
    cells = {row: corpus[row]["audio"] for row in long_rows}
    if any(cell.get("bytes") for cell in cells.values()):
        logger.warning(
            "%d recordings above %g s lie inside a table and stay whole: save them as files to "
            "have them cut.", len(long_rows), limit,
        )  # fmt: skip
        return corpus
    parts = _find_parts(corpus, cells, segment_seconds, skipped)
    return _as_rows(corpus, parts)


def quiet_cuts(cell: dict, start: float, stop: float, segment_seconds: float) -> list[float]:
    """Return where to cut a recording between `start` and `stop`, in seconds.

    Raises:
        AudioError: the audio near a cut cannot be read.
    """
    cuts: list[float] = []
    while stop - start > segment_seconds:
        left = math.ceil((stop - start) / (USUAL_SHARE * segment_seconds))
        even, reach = (stop - start) / left, (1 - USUAL_SHARE) * segment_seconds
        start = _quietest(cell, start + even - reach, start + even + reach)
        cuts.append(start)
    return cuts


def _quietest(cell: dict, first: float, last: float) -> float:
    """Return the middle of the quietest pause between two times, a multiple of 20 ms."""
    begin, end = math.ceil(first * 50), math.floor(last * 50)  # frames of 20 ms
    place = {key: value for key, value in cell.items() if key not in ("start", "stop")}
    half = QUIET_FRAMES // 2
    lead = min(half, begin)
    span = (begin - lead, end + half)
    samples = read_audio(place, SAMPLING_RATE, *(FRAME_SHIFT * frame for frame in span))
    frames = samples[: len(samples) // FRAME_SHIFT * FRAME_SHIFT].reshape(-1, FRAME_SHIFT)
    power = np.square(frames - frames.mean()).mean(axis=1)
    # mean power of the pause around each cut (frame borders); outside of the audio counts nothing
    sums = np.concatenate([[0.0], np.cumsum(power)])
    borders = np.arange(begin, end + 1) - span[0]
    low, high = np.maximum(borders - half, 0), np.minimum(borders + half, len(power))
    around = (sums[high] - sums[np.minimum(low, len(power))]) / np.maximum(high - low, 1)
    return (begin + int(np.argmin(around))) / 50


def _find_parts(
    corpus: datasets.Dataset, cells: dict[int, dict], segment_seconds: float, skipped: SkippedFiles
) -> list[tuple[int, float | None, float | None]]:
    """Return (row, start, stop) of every row; start and stop are None where it stays whole."""

    def cut(row: int) -> list[float] | AudioError:
        start = cells[row].get("start") or 0.0
        try:
            stop = start + audio_duration(cells[row])  # a column `duration` may be rounded
            return [start, *quiet_cuts(cells[row], start, stop, segment_seconds), stop]
        except AudioError as error:
            return error

    parts: list[tuple[int, float | None, float | None]] = []
    with ThreadPoolExecutor(4) as pool:
        few = len(cells) < PROGRESS_FROM
        cuts = tqdm(pool.map(cut, cells), "Finding pauses", len(cells), disable=few)
        found = dict(zip(cells, cuts, strict=True))
    for row in range(len(corpus)):
        places = found.get(row)
        if isinstance(places, AudioError):
            skipped.add(SkippedFile(audio_name(cells[row]), str(places)))
        elif places is None:
            parts.append((row, None, None))
        else:
            parts += [(row, *place) for place in zip(places, places[1:], strict=False)]
    if not parts:
        raise ValueError("None of the recordings can be read; see the warnings.")
    return parts


def _as_rows(
    corpus: datasets.Dataset, parts: list[tuple[int, float | None, float | None]]
) -> datasets.Dataset:
    columns = {name: corpus[name][:] for name in corpus.column_names if name != "audio"}
    rows: dict[str, list] = {
        name: [values[row] for row, *_ in parts] for name, values in columns.items()
    }
    audio = corpus["audio"][:]
    cells = [dict(audio[row]) for row, *_ in parts]
    numbers: dict[int, list[int]] = {}  # of the parts of each recording that is cut
    for number, (row, start, stop) in enumerate(parts):
        if start is None:
            continue
        numbers.setdefault(row, []).append(number)
        cells[number].update(start=start, stop=stop)
        rows["id"][number] = segment_id(str(columns["id"][row]), start, stop)
        rows["duration"][number] = stop - start
        for name, place in (("start", start), ("stop", stop)):
            if name in rows:
                rows[name][number] = place
    _divide_labels(rows, columns, parts, numbers)
    features = datasets.Features({name: corpus.features[name] for name in rows})
    return add_cells(datasets.Dataset.from_dict(rows, features=features), cells)


def _divide_labels(
    rows: dict[str, list],
    columns: dict[str, list],
    parts: list[tuple[int, float | None, float | None]],
    numbers: dict[int, list[int]],
) -> None:
    """Put into the parts of each recording what its labels say of them."""
    names = [name for name in (*TIMES, *SEQUENCES, *OF_WHOLES) if name in columns]
    without: dict[str, int] = {}
    for row, of_row in numbers.items():
        first = parts[of_row[0]][1]
        places = [(parts[number][1] - first, parts[number][2] - first) for number in of_row]
        whole = {name: columns[name][row] for name in names}
        found = labels_of_parts(whole, places, places[-1][1])
        for number, labels in zip(of_row, found, strict=True):
            for name, value in labels.items():
                rows[name][number] = value
        for name in SEQUENCES:
            if whole.get(name) and all(rows[name][number] is None for number in of_row):
                without[name] = without.get(name, 0) + 1
    for name, count in without.items():
        logger.info(
            "%d recordings are cut into parts that have no %s: no times of %s that agree with the "
            "column `%s` say which part has which (with segment_seconds 0 recordings stay whole).",
            count, name, "phones" if name == "phones" else "words", name,
        )  # fmt: skip
