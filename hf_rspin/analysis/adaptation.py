"""What adaptation changed, layer by layer: noise, speaker and phones in the hidden states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_rspin.analysis.information import joint_counts, unit_information
from hf_rspin.analysis.similarity import StreamingCKA
from hf_rspin.evaluation.distortions import Distortion
from hf_rspin.evaluation.featurizer import FrontEnd
from hf_rspin.evaluation.speaker_identification import SpeakerProbe
from hf_rspin.evaluation.utterances import Utterances
from hf_rspin.units import KMeans, mfcc

PhoneLabels = Mapping[str, np.ndarray]  # utterance id -> (frames,) phone index, -1: left out


@dataclass(frozen=True)
class LayerFigures:
    """One value per hidden state (0: encoder input) of one encoder.

    Args:
        cka: condition -> debiased linear CKA of distorted with clean test speech; 1: unchanged.
        speaker_accuracy: of a linear probe on utterance means, 0 to 1; None without speakers.
        pnmi: phone-normalised mutual information of k-means units; None without alignments.
    """

    cka: dict[str, list[float]] = field(default_factory=dict)
    speaker_accuracy: list[float] | None = None
    pnmi: list[float] | None = None

    def to_dict(self) -> dict:
        """Return plain JSON values."""
        return asdict(self)


def measure_layers(
    front_end: FrontEnd,
    train: Utterances,
    test: Utterances,
    conditions: Sequence[Distortion],
    phones: PhoneLabels | None = None,
    num_units: int = 64,
    progress: bool = True,
) -> LayerFigures:
    """Measure an encoder; probes and k-means learn on `train`, every figure is of `test`.

    Args:
        front_end: waveform (samples,) -> (layers, frames, dim).
        train: utterances whose speakers are those of `test`.
        test: other utterances.
        conditions: distortions for CKA.
        phones: phone of every frame of both sets; None leaves the phone figure out.
        num_units: k-means clusters per layer.
        progress: show a progress bar.
    """
    has_speakers = train.speakers is not None and len(set(train.speakers)) > 1
    encoded = len(train) if has_speakers or phones is not None else 0
    total = encoded + len(test) * (1 + len(conditions))
    with tqdm(total=total, desc=f"Measuring: {front_end.name}", disable=not progress) as bar:
        train_means, train_features = [], []
        for values in _features(front_end, train, bar) if encoded else ():
            train_means.append(values.mean(axis=1))
            if phones is not None:  # all frames of the training set: only where they are needed
                train_features.append(values)
        test_features = list(_features(front_end, test, bar))
        cka = {
            condition.name: _similarity(front_end, test, test_features, condition, bar)
            for condition in conditions
        }
    speakers = None
    if has_speakers:
        probe = SpeakerProbe().fit(np.stack(train_means), train.speakers)
        test_means = np.stack([values.mean(axis=1) for values in test_features])
        speakers = probe.accuracy(test_means, test.speakers)
    pnmi = None
    if phones is not None:
        pnmi = [
            units_pnmi(
                [f[layer] for f in train_features],
                [f[layer] for f in test_features],
                [phones[key] for key in test.ids],
                num_units,
            )
            for layer in range(front_end.num_layers)
        ]
    return LayerFigures(cka, speakers, pnmi)


def mfcc_pnmi(
    train: Utterances, test: Utterances, phones: PhoneLabels, num_units: int = 64
) -> float:
    """Return the PNMI of k-means units of MFCC: what needs no encoder."""
    train_features = [mfcc(train.read(i)) for i in range(len(train))]
    test_features = [mfcc(test.read(i)) for i in range(len(test))]
    labels = [phones[key] for key in test.ids]
    return units_pnmi(train_features, test_features, labels, num_units)


def units_pnmi(
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    phones: Sequence[np.ndarray],
    num_units: int,
    seed: int = 0,
) -> float:
    """Cluster the frames of `train`, name those of `test` (frames, dim), compare with `phones`."""
    frames = np.concatenate(train)
    kmeans = KMeans(num_units, seed)
    generator = np.random.default_rng(seed)
    for _ in range(10):
        kmeans.forget()
        kmeans.fit_stream(np.array_split(frames[generator.permutation(len(frames))], 8))
    units = [kmeans.predict(features) for features in test]
    num_phones = 1 + max(int(labels.max()) for labels in phones)
    return unit_information(joint_counts(phones, units, num_phones, num_units)).pnmi


def _features(front_end: FrontEnd, utterances: Utterances, bar: tqdm) -> Iterable[np.ndarray]:
    return _encode(front_end, map(utterances.read, range(len(utterances))), bar)


def _encode(
    front_end: FrontEnd, waveforms: Iterable[np.ndarray], bar: tqdm
) -> Iterable[np.ndarray]:
    """Yield (layers, frames, dim) per waveform."""
    for waveform in waveforms:
        yield front_end(waveform).numpy()
        bar.update()


def _similarity(
    front_end: FrontEnd,
    test: Utterances,
    clean: Sequence[np.ndarray],
    condition: Distortion,
    bar: tqdm,
) -> list[float]:
    cka = StreamingCKA()
    distorted = (condition(test.read(i), test.ids[i]) for i in range(len(test)))
    for one, other in zip(clean, _encode(front_end, distorted, bar), strict=True):
        cka.update(torch.from_numpy(one), torch.from_numpy(other))
    return cka.debiased_value()
