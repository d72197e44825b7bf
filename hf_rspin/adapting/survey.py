"""What lies in a folder of recordings: lengths, rates and channels, from the headers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile
from tqdm.auto import tqdm

from hf_rspin.adapting.words import duration
from hf_rspin.audio_files import AudioError, file_length
from hf_rspin.data.folders import describe_foreign, list_folder
from hf_rspin.data.skipped import SkippedFile, SkippedFiles
from hf_rspin.nearby import nearby

TELEPHONE_RATE = 8000  # Hz; what telephones pass fits into it
TELEPHONE_SHARE = 0.1  # of the hours: from here on a corpus is called one of telephone speech
PROGRESS_FROM = 500  # files
LEAST_SECONDS = 1.0  # shorter recordings hold no utterance


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        file: where it lies.
        name: its path in the folder.
        seconds: its length.
        rate: in Hz.
        channels: their number.
    """

    file: Path
    name: str
    seconds: float
    rate: int
    channels: int


@dataclass
class Survey:
    """The usable recordings of a folder, sorted by name, and what is left out.

    Attributes:
        folder: where they lie.
        recordings: at least one.
        skipped: files that cannot be used, with the reasons.
        remarks: sentences on what else lies there.
    """

    folder: Path
    recordings: list[Recording]
    skipped: SkippedFiles
    remarks: list[str]

    @property
    def seconds(self) -> float:
        """Length of all recordings together."""
        return sum(one.seconds for one in self.recordings)

    @property
    def is_telephone(self) -> bool:
        """Whether a tenth of the speech or more has the bandwidth of a telephone."""
        low = sum(one.seconds for one in self.recordings if one.rate <= TELEPHONE_RATE)
        return low >= TELEPHONE_SHARE * self.seconds

    def key(self) -> str:
        """Return 16 digits that change with the names, sizes or lengths of the recordings."""
        lines = [f"{one.name}\t{one.file.stat().st_size}\t{one.seconds:.3f}\t{one.channels}"
                 for one in self.recordings]  # fmt: skip
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def lines(self) -> list[str]:
        """Return what was found, as lines to print."""
        count = len(self.recordings)
        found = f"{count} recording{'s' * (count != 1)}, {duration(self.seconds)}"
        lines = [
            f"{found} ({self._times_by(lambda one: one.file.suffix.lower())})",
            f"sampling rates: {self._times_by(lambda one: f'{one.rate} Hz')}",
            f"channels: {self._times_by(lambda one: _channels(one.channels))}",
        ]
        if self.skipped.reasons:
            lines.append(self.skipped.summary())
        return lines + self.remarks

    def _times_by(self, kind: Callable[[Recording], str]) -> str:
        seconds: Counter[str] = Counter()
        for one in self.recordings:
            seconds[kind(one)] += one.seconds
        return ", ".join(f"{name} {duration(value)}" for name, value in seconds.most_common())


def survey_folder(folder: str | Path, leave_out: str | Path | None = None) -> Survey:
    """Read the headers of all audio in a folder and its sub-folders, or of one file.

    Tables beside the audio are not read. Hidden files do not count.

    Args:
        folder: where the recordings lie.
        leave_out: a folder in it whose files do not count, such as that of the output.

    Raises:
        ValueError: there is no such folder, or no recording of a second or more in it.
    """
    place = Path(folder)
    if not place.exists():
        raise ValueError(f"{folder} does not exist ({nearby(place)}); expected a folder of audio.")
    if place.is_file():
        root, files, remarks = place.parent, [place], []
    else:
        root, contents = place, list_folder(place)
        files, remarks = contents.audio, _remarks(contents)
    if leave_out is not None:
        made = Path(leave_out).resolve()
        files = [file for file in files if made not in file.resolve().parents]
    skipped = SkippedFiles()
    with ThreadPoolExecutor(4) as pool:
        found = tqdm(pool.map(lambda file: _read(file, root), files), "Reading headers",
                     len(files), disable=len(files) < PROGRESS_FROM)  # fmt: skip
        every = list(found)
    for one in every:
        if isinstance(one, SkippedFile):
            skipped.add(one)
    recordings = [one for one in every if isinstance(one, Recording)]
    if not recordings:
        why = skipped.summary() if files else "it holds no audio file"
        raise ValueError(
            f"{folder} gives no recording of a second or more "
            f"({'; '.join(one.rstrip('.') for one in [why, *remarks])}); "
            "expected wav, flac, ogg or mp3 files, in sub-folders or not."
        )
    return Survey(place, recordings, skipped, remarks)


def _remarks(contents) -> list[str]:
    remarks = []
    if contents.foreign:
        remarks.append(f"left out: {describe_foreign(contents.foreign)}.")
    if contents.nameless:
        remarks.append(f"left out: {len(contents.nameless)} files with names that are not UTF-8.")
    archives = [*contents.archives, *contents.compressed]
    if archives:
        remarks.append(f"not read: {archives[0].name}: unpack archives to adapt to what they hold.")
    tables = [*contents.metadata, *contents.shards, *contents.tables]
    if tables:
        remarks.append(f"not read: {tables[0].name}, as no labels are needed here.")
    return remarks


def _read(file: Path, root: Path) -> Recording | SkippedFile:
    try:
        length = file_length(file)
        channels = soundfile.info(str(file)).channels
    except AudioError as error:
        return SkippedFile(str(file), str(error))
    seconds = length.frames / length.rate
    if seconds < LEAST_SECONDS:
        return SkippedFile(str(file), f"{file} is too short ({seconds:.2f} s).")
    return Recording(file, file.relative_to(root).as_posix(), seconds, length.rate, channels)


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")
