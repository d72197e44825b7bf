import numpy as np
import pytest

from hf_rspin.evaluation import EvaluationSet, UnitProbe, unit_quality
from hf_rspin.evaluation.probes.units import fit_units, labels_at


def test_units_of_features_that_are_the_phones():
    generator = np.random.default_rng(0)
    phones = [generator.integers(0, 4, 200) for _ in range(6)]
    features = [
        (np.eye(4)[p] * 5 + 0.01 * generator.normal(size=(200, 4))).astype("f4") for p in phones
    ]
    kmeans = fit_units(features[:3], 4)
    units = [kmeans.predict(frames) for frames in features[3:]]
    assert unit_quality(phones[3:], units).pnmi == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="got 200 frames for 26 units; expected 8 per unit"):
        fit_units(features[:1], 26)


def test_a_large_dimension_decides_unless_dimensions_are_standardised():
    generator = np.random.default_rng(0)
    phones = [generator.integers(0, 4, 200) for _ in range(6)]
    features = [np.eye(4)[p] * 5 + 0.01 * generator.normal(size=(200, 4)) for p in phones]
    large = [np.hstack([x, generator.normal(500, 300, (200, 1))]).astype("f4") for x in features]
    quality = {}
    for standardize in (False, True):
        kmeans = fit_units(large[:3], 8, standardize=standardize)
        quality[standardize] = unit_quality(phones[3:], list(map(kmeans.predict, large[3:]))).pnmi
    assert quality[True] > 0.9 > 0.1 > quality[False]
    assert UnitProbe().settings() == {"num_units": 64, "max_utterances": 200, "seed": 0}
    assert UnitProbe(standardize=True).settings()["standardize"]


def test_labels_of_every_20_ms_at_slower_frames():
    labels = np.arange(10)
    assert labels_at(labels, 10).tolist() == labels.tolist()
    assert labels_at(labels, 5).tolist() == [1, 3, 5, 7, 9]
    assert labels_at(labels[:9], 5).tolist() == [1, 3, 5, 7, 8]  # the last frame is cut short
    for frames in (9, 11, 30):
        with pytest.raises(ValueError, match=f"got 10 phone labels for {frames} frames"):
            labels_at(labels, frames)


def test_wrong_settings_and_alignments_are_refused():
    with pytest.raises(ValueError, match="got num_units 1; expected 2 or more"):
        UnitProbe(1)
    wrong = EvaluationSet(["u1"], [{}], alignments=["see the text grid"])
    with pytest.raises(ValueError, match="column alignment of u1: alignment entry 'see'"):
        UnitProbe().reason_to_skip(wrong, None)
    assert "no phone alignment" in UnitProbe().remark(EvaluationSet(["u1"], [{}]))
