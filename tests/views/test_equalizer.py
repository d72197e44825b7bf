import numpy as np
import pytest

from hf_rspin.views.equalizer import (
    CENTRE_FREQUENCIES_HZ,
    draw_equalizer,
    equalizer_sections,
    parametric_equalizer,
)

RATE = 16_000


def cookbook(kind, frequency, gain_db, q):
    """The Audio-EQ-Cookbook as printed: b0 b1 b2 a0 a1 a2."""
    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * frequency / RATE
    c, alpha = np.cos(w), np.sin(w) / (2 * q)
    r = 2 * np.sqrt(a) * alpha
    if kind == "peaking":
        return [1 + alpha * a, -2 * c, 1 - alpha * a, 1 + alpha / a, -2 * c, 1 - alpha / a]
    if kind == "low":
        return [
            a * ((a + 1) - (a - 1) * c + r), 2 * a * ((a - 1) - (a + 1) * c),
            a * ((a + 1) - (a - 1) * c - r), (a + 1) + (a - 1) * c + r,
            -2 * ((a - 1) + (a + 1) * c), (a + 1) + (a - 1) * c - r,
        ]  # fmt: skip
    return [
        a * ((a + 1) + (a - 1) * c + r), -2 * a * ((a - 1) + (a + 1) * c),
        a * ((a + 1) + (a - 1) * c - r), (a + 1) - (a - 1) * c + r,
        2 * ((a - 1) - (a + 1) * c), (a + 1) - (a - 1) * c - r,
    ]  # fmt: skip


def gain_db_at(sections, frequency):
    z = np.exp(-2j * np.pi * frequency / RATE)
    powers = np.array([1, z, z**2])
    return 20 * np.log10(np.abs(np.prod((sections[:, :3] @ powers) / (sections[:, 3:] @ powers))))


def test_the_centres_are_log_spaced_from_60_to_7600_hz():
    assert CENTRE_FREQUENCIES_HZ[[0, -1]] == pytest.approx([60.0, 7600.0])
    np.testing.assert_allclose(np.diff(np.log(CENTRE_FREQUENCIES_HZ)), np.log(7600 / 60) / 9)


def test_the_output_equals_the_difference_equations():
    drawn = draw_equalizer(np.random.default_rng(0))
    waveform = np.random.default_rng(1).standard_normal(400)
    expected = waveform.copy()
    for band, frequency in enumerate(CENTRE_FREQUENCIES_HZ):
        kind = {0: "low", 9: "high"}.get(band, "peaking")
        b0, b1, b2, a0, a1, a2 = cookbook(kind, frequency, drawn.gains_db[band], drawn.q[band])
        x, y = np.concatenate([[0, 0], expected]), np.zeros(len(expected) + 2)
        for n in range(2, len(x)):
            past = b0 * x[n] + b1 * x[n - 1] + b2 * x[n - 2] - a1 * y[n - 1] - a2 * y[n - 2]
            y[n] = past / a0
        expected = y[2:]
    output = parametric_equalizer(waveform, RATE, drawn.gains_db, drawn.q)
    np.testing.assert_allclose(output, expected, atol=1e-11)
    single = parametric_equalizer(waveform.astype(np.float32), RATE, drawn.gains_db, drawn.q)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)


@pytest.mark.parametrize("band", range(10))
def test_one_band_has_its_gain_at_its_place(band):
    gains = np.zeros(10)
    gains[band] = 9.0
    sections = equalizer_sections(RATE, gains, np.full(10, 3.0))
    place = {0: 0.0, 9: RATE / 2}.get(band, CENTRE_FREQUENCIES_HZ[band])
    assert gain_db_at(sections, place) == pytest.approx(9.0, abs=1e-6)
    far = RATE / 2 if band < 9 else 0.0
    assert gain_db_at(sections, far) == pytest.approx(0.0, abs=1e-6)


def test_no_gain_changes_nothing():
    waveform = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    output = parametric_equalizer(waveform, RATE, np.zeros(10), np.full(10, 2.0))
    np.testing.assert_allclose(output, waveform, atol=1e-6)


def test_draws_cover_their_ranges():
    generator = np.random.default_rng(3)
    drawn = [draw_equalizer(generator) for _ in range(500)]
    gains, q = np.array([d.gains_db for d in drawn]), np.array([d.q for d in drawn])
    assert -12 <= gains.min() < -11.9 and 11.9 < gains.max() <= 12
    assert 2 <= q.min() < 2.01 and 4.99 < q.max() <= 5
    assert np.log(q / 2).mean() == pytest.approx(np.log(2.5) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "rate", "gains", "q", "message"),
    [
        ((10,), 8_000, np.zeros(10), np.ones(10), "resample to 16 kHz"),
        ((10,), RATE, np.zeros(9), np.ones(10), r"gains_db of shape \(9,\)"),
        ((10,), RATE, np.zeros(10), np.zeros(10), "q above 0"),
        ((2, 10), RATE, np.zeros(10), np.ones(10), r"shape \(2, 10\)"),
        ((10,), float("nan"), np.zeros(10), np.ones(10), "rate of nan Hz"),
        ((10,), RATE, np.full(10, np.nan), np.ones(10), "finite gains_db"),
    ],
)
def test_wrong_input_is_refused(shape, rate, gains, q, message):
    with pytest.raises(ValueError, match=message):
        parametric_equalizer(np.zeros(shape), rate, gains, q)


def test_no_samples_are_filtered_to_none_and_nan_is_refused():
    options = (RATE, np.ones(10), np.ones(10))
    assert parametric_equalizer(np.zeros(0, dtype=np.float32), *options).shape == (0,)
    with pytest.raises(ValueError, match="The equaliser got a waveform with NaN"):
        parametric_equalizer(np.array([0.0, np.nan]), *options)
