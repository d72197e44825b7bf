import numpy as np
import pytest

from hf_rspin.evaluation.conditions import Echo, PitchShift
from hf_rspin.evaluation.conditions.echo import DELAYS_SECONDS
from hf_rspin.evaluation.conditions.pitch import SEMITONES


@pytest.mark.parametrize("severity", [1, 2, 3, 4])
def test_an_echo_is_the_speech_again_half_as_loud(severity):
    click = np.zeros(20000, dtype=np.float32)
    click[100] = 0.8
    heard = Echo(severity)(click, "u")
    later = 100 + round(16000 * DELAYS_SECONDS[severity - 1])
    assert np.flatnonzero(heard).tolist() == [100, later]
    assert heard[100] == np.float32(0.8)
    assert 20 * np.log10(heard[later] / heard[100]) == pytest.approx(-6, abs=1e-4)
    short = click[: round(16000 * DELAYS_SECONDS[severity - 1])]
    np.testing.assert_array_equal(Echo(severity)(short, "u"), short)


def voice(hertz, seconds=1.5):
    """Harmonics of a voice that begins and ends within silence."""
    t = np.arange(round(16000 * seconds)) / 16000
    sound = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 8))
    sound[(t < 0.4) | (t > 1.0)] = 0
    return 0.1 * sound.astype(np.float32)


def pitch_of(waveform):
    """Frequency of the strongest partial in Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 2**18))
    return np.argmax(spectrum) * 16000 / 2**18


@pytest.mark.parametrize("severity", [1, 2, 3, 4])
def test_the_pitch_moves_by_its_semitones_and_times_stay(severity):
    waveform, found = voice(200), set()
    for place in range(8):
        heard = PitchShift(severity)(waveform, f"u{place}")
        found.add(round(12 * np.log2(pitch_of(heard) / pitch_of(waveform)), 1))
        loud = np.flatnonzero(np.abs(heard) > 0.03) / 16000
        assert loud[0] == pytest.approx(0.4, abs=0.03) and loud[-1] == pytest.approx(1, abs=0.03)
        assert len(heard) == len(waveform)
    assert found == {-SEMITONES[severity - 1], SEMITONES[severity - 1]}
