"""Fit k-means on the frame features of a corpus, one utterance after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hf_rspin.audio import (
    AudioError,
    AudioSource,
    audio_name,
    check_audible,
    num_frames,
    read_audio,
)
from hf_rspin.data.skipped import SkippedFile, SkippedFiles, utterance_name
from hf_rspin.units.features import FrameFeatures, WhisperLayerFeatures
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.reference_sound import remember_features, warn_of_other_features


def fit_kmeans(
    kmeans: KMeans,
    features: FrameFeatures,
    sources: Sequence[AudioSource],
    folder: str | Path | None = None,
    batch_frames: int = 20_000,
    save_every: int = 25,
    progress: bool = True,
    strict: bool = False,
    skipped: SkippedFiles | None = None,
    ids: Sequence[str] | None = None,
    standardize: bool = False,
) -> KMeans:
    """Give every utterance to `kmeans` once, in batches of at least `batch_frames` frames.

    Args:
        kmeans: new, or loaded from `folder` of a run that was stopped: utterances that it has
            seen are not read again, and the result is that of a run that never stopped.
        features: waveform (samples,) at 16 kHz -> (frames, dim).
        sources: audio to read, in random order (a batch should hold many voices), one at a time:
            a column of a dataset stays on the disk.
        folder: where to save now and then; None: nowhere.
        batch_frames: frames per update.
        save_every: updates between two saves.
        progress: show a progress bar.
        strict: stop at the first file that is damaged, silent or shorter than one frame; without,
            they are left out with one warning each.
        skipped: is given these files, for a summary; it then decides whether to be strict.
        ids: of the utterances, to name audio that has no path.
        standardize: by the mean and deviation of the first batch; the k-means keeps them.

    Raises:
        AudioError: a file cannot be used, when strict; or none can.
        ValueError: fewer usable frames than clusters.
    """
    skipped = SkippedFiles(strict) if skipped is None else skipped
    if kmeans.cluster_centers is None:
        remember_features(kmeans, features)
    else:
        warn_of_other_features(kmeans, features)
    batch: list[np.ndarray] = []
    seen = kmeans.num_utterances
    bar = tqdm(total=len(sources), initial=seen, desc="Fitting k-means", unit="utt",
               disable=not progress)  # fmt: skip
    with bar:
        for number in range(seen + 1, len(sources) + 1):
            key = None if ids is None else ids[number - 1]
            batch += _waveforms(sources[number - 1], skipped, key)
            frames = sum(num_frames(len(waveform)) for waveform in batch)
            if frames >= batch_frames or (number == len(sources) and batch):
                found = _features(features, batch)
                if standardize and kmeans.cluster_centers is None:
                    kmeans.standardize_by(found)
                kmeans.partial_fit(found)
                kmeans.num_utterances, batch = number, []
                if folder is not None and kmeans.num_batches % save_every == 0:
                    kmeans.save_pretrained(folder)
            bar.update()
    if kmeans.cluster_centers is None:
        raise AudioError("no utterance could be read; see the warnings above.")
    if folder is not None:
        kmeans.save_pretrained(folder)
    return kmeans


def _features(features: FrameFeatures, waveforms: list[np.ndarray]) -> np.ndarray:
    """Return the features (frames, dim) of all; one by one where others would change them."""
    if isinstance(features, WhisperLayerFeatures):
        return np.concatenate(features.batch(waveforms))
    return np.concatenate([features(waveform) for waveform in waveforms])


def _waveforms(source: AudioSource, skipped: SkippedFiles, key: str | None) -> list[np.ndarray]:
    """Return the waveform, or nothing where it cannot be used."""
    name = utterance_name(source, key)
    try:
        waveform = read_audio(source)
        check_audible(waveform, name)
        if num_frames(len(waveform)) == 0:
            raise AudioError(f"{name} is shorter than one frame (25 ms); remove it.")
    except AudioError as error:
        skipped.add(SkippedFile(name, str(error).replace(audio_name(source), name)))
        return []
    return [waveform]
