"""Mini-batch k-means that streams over a corpus, can be stopped and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array
from sklearn.cluster import kmeans_plusplus

from hf_rspin.utils import atomic, write_json

_WEIGHTS, _CONFIG = "kmeans.safetensors", "kmeans.json"
_PATIENCE = 10  # batches without a frame until an empty cluster moves


class KMeans:
    """K-means by mini-batches (Sculley 2010): each centre is the mean of all it was ever given.

    Args:
        num_clusters: number of centres.
        seed: seed of the k-means++ start and of the rescue of empty clusters.
        source: what is clustered ("mfcc", "layer 4 of ..."); kept with the centres.

    Attributes:
        cluster_centers: (clusters, dim), of standardised features where there is a `scale`.
        scale: mean and deviation of each dimension, (2, dim), by which features are standardised;
            None: they are taken as they are. See `standardize_by`.
        response: what the clustered features say of a fixed sound, (frames, dim), by which they
            are known again; None: not kept. `fit_kmeans` sets it.
    """

    def __init__(self, num_clusters: int, seed: int = 0, source: str = ""):
        if num_clusters < 1:
            raise ValueError(f"num_clusters is {num_clusters}; expected at least 1.")
        self.num_clusters, self.seed, self.source = num_clusters, seed, source
        self.cluster_centers: np.ndarray | None = None
        self.scale: np.ndarray | None = None
        self.response: np.ndarray | None = None
        self.counts = np.zeros(num_clusters, dtype=np.float64)
        self.idle = np.zeros(num_clusters, dtype=np.int64)  # batches since the last frame of each
        self.num_batches = 0
        self.num_utterances = 0  # given by fit_kmeans, which goes on after them

    def standardize_by(self, features: np.ndarray) -> None:
        """Give from now on every dimension the mean 0 and the variance 1 that it has in `features`.

        Args:
            features: (frames, dim), enough of what is to be clustered.

        Raises:
            ValueError: there are centres already, or the features are not finite.
        """
        if self.cluster_centers is not None:
            raise ValueError("this k-means has centres already; standardise before it is fitted.")
        features = np.asarray(features, dtype=np.float64)
        _check_finite(features)
        deviation = features.std(axis=0)
        deviation[deviation == 0] = 1  # a dimension that never changes
        self.scale = np.stack([features.mean(axis=0), deviation]).astype(np.float32)

    def partial_fit(self, features: np.ndarray) -> float:
        """Update the centres with one mini-batch (frames, dim); return its mean squared distance.

        Raises:
            ValueError: the first batch has fewer frames than there are clusters, or NaN.
        """
        features = self._standardized(features)
        if self.cluster_centers is None:
            self._start(features)
        labels, distances = self._assign(features)
        # a sparse product adds the rows in order, as np.add.at does, and 50 times as fast
        rows = np.arange(len(labels))
        members = csr_array((np.ones(len(labels)), (labels, rows)), (self.num_clusters, len(rows)))
        sums = members @ features  # (clusters, dim) in float64
        added = np.bincount(labels, minlength=self.num_clusters)
        self.counts += added
        hit = added > 0
        self.idle = np.where(hit, 0, self.idle + 1)
        step = (added[hit] / self.counts[hit])[:, None]
        target = sums[hit] / added[hit][:, None]
        self.cluster_centers[hit] += (step * (target - self.cluster_centers[hit])).astype(
            np.float32
        )
        self._rescue_empty(features)
        self.num_batches += 1
        return float(distances.mean())

    def fit_stream(self, batches: Iterable[np.ndarray]) -> KMeans:
        """Update the centres with every batch (frames, dim) of a stream."""
        for batch in batches:
            self.partial_fit(batch)
        return self

    def reset_counts(self) -> None:
        """Keep the centres, forget the counts: the next pass moves the centres freely again."""
        self.counts[:] = 0

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the nearest centre of each row of `features` (frames, dim), int64 (frames,).

        Raises:
            ValueError: there are no centres yet, or the features are not finite or of another size.
        """
        if self.cluster_centers is None:
            raise ValueError("this k-means has no centres yet; call fit_stream first.")
        shape = np.shape(features)
        if len(shape) != 2 or shape[1] != self.cluster_centers.shape[1]:
            raise ValueError(
                f"got features of shape {shape}, expected (frames, "
                f"{self.cluster_centers.shape[1]}): the k-means was fitted on others."
            )
        return self._assign(self._standardized(features))[0]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `kmeans.safetensors`, which holds everything, at once; and a readable copy.

        One file is the truth, so that a kill leaves either the old state or the new one.
        `kmeans.json` repeats the settings for people.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "num_clusters": self.num_clusters,
            "seed": self.seed,
            "source": self.source,
            "num_batches": self.num_batches,
            "num_utterances": self.num_utterances,
        }
        state = {"centres": self.cluster_centers, "counts": self.counts, "idle": self.idle}
        if self.scale is not None:
            state["scale"] = self.scale
        if self.response is not None:
            state["response"] = self.response.astype(np.float32)
        with atomic(folder / _WEIGHTS) as temporary:
            save_file(state, temporary, {"settings": json.dumps(settings)})
        write_json(folder / _CONFIG, settings, indent=2)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> KMeans:
        """Read what `save_pretrained` wrote; fitting can go on from there.

        Raises:
            FileNotFoundError: the folder holds no k-means.
            ValueError: its files are damaged.
        """
        folder = Path(folder)
        if not cls.is_saved(folder):
            raise FileNotFoundError(
                f"{folder} holds no {_WEIGHTS}; expected a folder written by "
                "KMeans.save_pretrained."
            )
        try:
            with safe_open(folder / _WEIGHTS, "numpy") as file:
                state = {name: file.get_tensor(name).copy() for name in file.keys()}
                written = (file.metadata() or {}).get("settings")
            # folders of the first version keep the settings in the other file only
            settings = json.loads(written or (folder / _CONFIG).read_text())
            return cls._from_state(settings, state)
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"the k-means in {folder} is damaged ({error}): fit it again."
            ) from error

    @classmethod
    def from_file(cls, path: str | Path, source: str = "") -> KMeans:
        """Read the centres of a published file: scikit-learn's by joblib or pickle, .npy, .npz.

        Nothing in the file is run. Its counts are not read: fitting further begins them anew.

        Args:
            path: such as hubert_base_ls960_L9_km500.bin of fairseq.
            source: what it clusters, "layer 9" or "mfcc".

        Raises:
            ValueError: there is no such file, or it holds no centres.

        Example:
            >>> np.save("centres.npy", np.eye(3, dtype=np.float32))  # or a .km / .bin of joblib
            >>> KMeans.from_file("centres.npy", "layer 9").num_clusters
            3
        """
        from hf_rspin.units.kmeans_files import read_centres

        centres = read_centres(path)
        kmeans = cls(len(centres), source=source)
        kmeans.cluster_centers = centres
        return kmeans

    @classmethod
    def _from_state(cls, settings: dict[str, Any], state: dict[str, np.ndarray]) -> KMeans:
        kmeans = cls(settings["num_clusters"], settings["seed"], settings["source"])
        kmeans.cluster_centers, kmeans.counts = state["centres"], state["counts"]
        kmeans.idle = state.get("idle", kmeans.idle)
        kmeans.scale, kmeans.response = state.get("scale"), state.get("response")
        kmeans.num_batches = settings["num_batches"]
        kmeans.num_utterances = settings["num_utterances"]
        shapes = kmeans.cluster_centers.shape[:1], kmeans.counts.shape, kmeans.idle.shape
        if kmeans.cluster_centers.ndim != 2 or set(shapes) != {(kmeans.num_clusters,)}:
            raise ValueError(
                f"got centres of shape {kmeans.cluster_centers.shape}, expected "
                f"{kmeans.num_clusters} rows"
            )
        _check_scale(kmeans)
        if not (np.isfinite(kmeans.cluster_centers).all() and (kmeans.counts >= 0).all()):
            raise ValueError("got NaN or infinite centres or negative counts, expected numbers")
        return kmeans

    @staticmethod
    def is_saved(folder: str | Path) -> bool:
        """Say whether `folder` holds a k-means, perhaps one whose fitting was stopped."""
        return (Path(folder) / _WEIGHTS).is_file()

    def _standardized(self, features: np.ndarray) -> np.ndarray:
        features = np.asarray(features, dtype=np.float32)
        _check_finite(features)
        return features if self.scale is None else (features - self.scale[0]) / self.scale[1]

    def _start(self, features: np.ndarray) -> None:
        if len(features) < self.num_clusters:
            raise ValueError(
                f"the first batch has {len(features)} frames for {self.num_clusters} clusters; "
                "give a larger first batch or ask for fewer clusters."
            )
        generator = np.random.RandomState(self.seed)
        sample = features[generator.permutation(len(features))[: 50 * self.num_clusters]]
        self.cluster_centers, _ = kmeans_plusplus(sample, self.num_clusters, random_state=generator)
        self.cluster_centers = np.ascontiguousarray(self.cluster_centers, dtype=np.float32)

    def _assign(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centres = torch.from_numpy(self.cluster_centers)
        half_norms = 0.5 * centres.square().sum(dim=1)  # (clusters,)
        labels, distances = [], []
        for chunk in torch.from_numpy(features).split(16384):
            # argmin |x - c|^2 = argmin |c|^2 / 2 - x.c : one matrix product.
            nearest, label = torch.addmm(half_norms, chunk, centres.T, alpha=-1).min(dim=1)
            labels.append(label)
            distances.append(2 * nearest + chunk.square().sum(dim=1))
        return torch.cat(labels).numpy(), torch.cat(distances).numpy()

    def _rescue_empty(self, features: np.ndarray) -> None:
        """Move centres without a frame, since the start and in ten batches, onto random frames."""
        empty = np.flatnonzero((self.counts == 0) & (self.idle >= _PATIENCE))
        if len(empty) == 0:
            return
        generator = np.random.default_rng([self.seed, self.num_batches])
        self.cluster_centers[empty] = features[generator.integers(0, len(features), len(empty))]
        self.idle[empty] = 0


def _check_scale(kmeans: KMeans) -> None:
    scale = kmeans.scale
    if scale is None:
        return
    expected = (2, kmeans.cluster_centers.shape[1])
    if scale.shape != expected or not (np.isfinite(scale).all() and (scale[1] > 0).all()):
        raise ValueError(
            f"got means and deviations of shape {scale.shape}, expected finite ones of {expected}"
        )


def _check_finite(features: np.ndarray) -> None:
    if not np.isfinite(features).all():
        raise ValueError("the features hold NaN or infinite values; check the audio or model.")
