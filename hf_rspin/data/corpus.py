"""A folder of audio, a table or a Hub dataset becomes one `datasets.Dataset`."""

from __future__ import annotations

from pathlib import Path

import datasets

from hf_rspin.audio import AUDIO_SUFFIXES, audio_duration


def load_corpus(source: str | Path, split: str | None = None) -> datasets.Dataset:
    """Load `source` as a dataset with the columns `id`, `audio` and `duration` (seconds).

    Args:
        source: a folder with `metadata.csv` (column `file_name`) or just audio files, or a csv.
        split: keep only the rows whose `split` column equals this.
    """
    path = Path(source)
    table = path / "metadata.csv" if path.is_dir() else path
    if table.is_file():
        corpus = datasets.Dataset.from_csv(str(table), keep_in_memory=True)
        files = [str(table.parent / name) for name in corpus["file_name"]]
    else:
        files = sorted(str(f) for f in path.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES)
        corpus = datasets.Dataset.from_dict(
            {"id": [str(Path(f).relative_to(path).with_suffix("")) for f in files]}
        )
    corpus = corpus.add_column("audio", files).cast_column("audio", datasets.Audio(decode=False))
    if "duration" not in corpus.column_names:
        corpus = corpus.add_column("duration", [audio_duration(f) for f in files])
    if split is not None:
        keep = [i for i, value in enumerate(corpus["split"]) if value == split]
        corpus = corpus.select(keep)
    return corpus
