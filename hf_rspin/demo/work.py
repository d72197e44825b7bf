"""What the page does, without a page: a recording and its settings become sounds and units."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hf_rspin.demo.changes import UnitChanges
from hf_rspin.demo.models import CLUSTERS, Listener, Place, load
from hf_rspin.demo.recordings import read_recording
from hf_rspin.demo.views import ViewSettings, distort


@dataclass(frozen=True, eq=False)
class Comparison:
    """What one recording became.

    Attributes:
        original: (samples,) float32 at 16 kHz.
        distorted: (samples,) float32, of the same length.
        settings: what was done to it.
        changes: of each model, A first.
        notes: sentences for the visitor.
    """

    original: np.ndarray
    distorted: np.ndarray
    settings: ViewSettings
    changes: list[UnitChanges]
    notes: list[str]


@dataclass
class Workshop:
    """Listens with the models; each is loaded when it is first chosen.

    Attributes:
        places: models by name, see `find_models`.
        num_clusters: of the k-means with which models are compared.
        cache: folder that keeps those.
        device: cpu or cuda.

    Example:
        >>> workshop = Workshop(find_models("bundled", "runs/quickstart"))
        >>> found = workshop.compare("speech.wav", ViewSettings(noise="rain"), ["bundled"])
        >>> found.changes[0].share
    """

    places: dict[str, Place]
    num_clusters: int = 100
    cache: str = "~/.cache/hf-rspin"
    device: str = "cpu"
    _loaded: dict[tuple, Listener] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def listener(self, name: str, units: str, partner: str | None = None) -> Listener:
        """Return a model with its units; see `load`.

        Raises:
            ValueError: there is no model of that name, or it cannot be loaded.
        """
        for one in [name, *([partner] if partner else [])]:
            if one not in self.places:
                raise ValueError(f"got the model {one!r}; expected {', '.join(self.places)}.")
        beside = self.places[partner] if partner else None
        key = (name, units, None if units == CLUSTERS else partner)
        with self._lock:  # two visitors may come at once
            if key not in self._loaded:
                self._loaded[key] = load(
                    self.places[name], units, beside, self.num_clusters, self.cache, self.device
                )
            return self._loaded[key]

    def compare(
        self,
        recording: str | Path,
        settings: ViewSettings,
        models: list[str],
        units: str = CLUSTERS,
    ) -> Comparison:
        """Distort a recording and tell how the units of one or two models change.

        Args:
            recording: an audio file, of which the first 30 s are used.
            settings: what is done to it.
            models: names of A and maybe B.
            units: "clusters" or "own", see `load`.

        Raises:
            AudioError: the file cannot be used.
            ValueError: a model cannot be.
        """
        original, note = read_recording(recording)
        distorted, notes = distort(original, settings)
        names = list(dict.fromkeys(models))
        changes = []
        for name in names:
            beside = next((other for other in names if other != name), None)
            listener = self.listener(name, units, beside)
            heard = listener.tokenizer([original, distorted])
            size = listener.tokenizer.vocab_size
            changes.append(UnitChanges(name, listener.units, *heard, size))
        return Comparison(original, distorted, settings, changes, [note] * bool(note) + notes)
