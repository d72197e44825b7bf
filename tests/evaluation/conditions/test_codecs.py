import io

import numpy as np
import pytest
import soundfile

from hf_rspin.evaluation.conditions import Compression, Telephone
from hf_rspin.evaluation.conditions.bands import zero_phase_filter
from hf_rspin.evaluation.conditions.codecs import CODECS, measure_delay, through_codec
from hf_rspin.views.codec import TELEPHONE_SETTINGS, CodecSetting


def error_db(reference, output):
    return 10 * np.log10(np.mean((output - reference) ** 2) / np.mean(reference**2))


def mp3_of_constant_rate(waveform):
    """Encode at 24 kbit/s, where the decoder does not know the delay of the encoder."""
    file = io.BytesIO()
    soundfile.write(
        file, waveform, 16000, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.9,
        bitrate_mode="CONSTANT",
    )  # fmt: skip
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def test_the_delay_of_a_codec_is_measured(speech, lag):
    for samples in (0, 1, 777, 3200):
        assert measure_delay(lambda x, n=samples: np.pad(x, (n, 0))) == samples
    delay = measure_delay(mp3_of_constant_rate)
    for waveform in speech:
        decoded = mp3_of_constant_rate(np.pad(waveform, (0, 3200)))
        assert lag(waveform, decoded[delay : delay + len(waveform)]) == 0


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_severities_lose_more_and_more(codec, speech, lag):
    lost = []
    for setting in CODECS[codec]:
        heard = [through_codec(waveform, setting) for waveform in speech]
        lost.append(np.mean([error_db(*pair) for pair in zip(speech, heard, strict=True)]))
        assert all(abs(lag(*pair)) <= 1 for pair in zip(speech, heard, strict=True))
    assert lost == sorted(lost) and lost[0] < -12 and lost[-1] > lost[0] + 3


def test_every_codec_is_drawn(speech):
    waveform = speech[0][8000:16000]
    made = {name: through_codec(waveform, CODECS[name][1]).tobytes() for name in CODECS}
    found = [Compression()(waveform, f"u{i}").tobytes() for i in range(30)]
    assert set(found) == set(made.values())
    assert all(found.count(output) >= 4 for output in made.values())


def test_the_same_codec_is_drawn_at_every_severity(speech):
    waveform, drawn = speech[0][8000:16000], []
    for severity in (1, 4):
        made = {
            through_codec(waveform, CODECS[name][severity - 1]).tobytes(): name for name in CODECS
        }
        condition = Compression(severity)
        drawn.append([made[condition(waveform, f"u{i}").tobytes()] for i in range(8)])
    assert drawn[0] == drawn[1] and len(set(drawn[0])) > 1


def test_g711_has_its_textbook_ratio(speech):
    for setting in TELEPHONE_SETTINGS[:2]:
        for waveform in speech:
            narrow = zero_phase_filter(waveform, (300, 3400), "bandpass", order=4)
            narrow /= np.abs(narrow).max()
            assert -41 < error_db(narrow, through_codec(narrow, setting, 8000)) < -34


def test_a_telephone_has_its_band_and_severities_lose_more(speech):
    lost = []
    for severity in (1, 2, 3, 4):
        errors = []
        for place in range(9):
            waveform = speech[place % 3]
            heard = Telephone(severity)(waveform, f"u{place}")
            power = np.abs(np.fft.rfft(heard)) ** 2
            hertz = np.fft.rfftfreq(len(heard), 1 / 16000)
            assert power[hertz > 4100].sum() < 1e-4 * power.sum()
            narrow = zero_phase_filter(waveform, (300, 3400), "bandpass", order=4)
            errors.append(error_db(narrow, heard))
        lost.append(np.mean(errors))
    assert lost == sorted(lost)
    hiss = np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32)
    power = np.abs(np.fft.rfft(Telephone(1)(hiss, "u"))) ** 2
    hertz = np.fft.rfftfreq(len(hiss), 1 / 16000)
    inside, below = power[(hertz > 600) & (hertz < 2500)].mean(), power[hertz < 150].mean()
    assert below < 1e-3 * inside


def test_what_follows_the_speech_is_cut_and_nothing_is_clipped(speech):
    gsm = TELEPHONE_SETTINGS[2]  # whose blocks hold 160 samples
    for size in (400, 401, 719, 12_345):
        assert len(through_codec(speech[0][:size], gsm, 8000)) == size
    setting = CodecSetting("MP3", "MPEG_LAYER_III", 0.5)
    loud = speech[0] / np.abs(speech[0]).max() * 10
    heard = through_codec(loud, setting)
    assert error_db(loud, heard) < -20 and np.abs(heard).max() == pytest.approx(10, rel=0.2)
