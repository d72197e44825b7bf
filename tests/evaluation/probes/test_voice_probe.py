"""F0 in frames and units, speakers in units: known voices, known features, closed forms."""

import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import Evaluation, EvaluationSet, VoiceProbe, to_table
from hf_rspin.evaluation.measures.correlation import correlation_interval
from hf_rspin.evaluation.probes.voice import fit_frames, semitones
from hf_rspin.views.speaker_perturbation.pitch import track_voice

RATE = 16000
LEVELS = {"low": 100.0, "middle": 170.0, "high": 260.0}  # Hz


def buzz(hertz):
    """A pulse train whose F0 is `hertz` (samples,)."""
    phase = np.cumsum(hertz) / RATE
    return 0.3 * sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9))


def voices(folder, prefix, number):
    """Three speakers at their own pitch, each utterance gliding by up to two semitones."""
    generator = np.random.default_rng(len(prefix))
    cells, ids, speakers = [], [], []
    for i in range(number):
        speaker = list(LEVELS)[i % 3]
        glide = generator.uniform(-2, 2) * np.linspace(-1, 1, RATE) / 12
        sound = buzz(LEVELS[speaker] * 2**glide)
        path = folder / f"{prefix}{i}.wav"
        soundfile.write(path, sound + 1e-3 * generator.normal(size=RATE), RATE)
        ids.append(path.stem)
        cells.append({"path": str(path), "bytes": None})
        speakers.append(f"{prefix}-{speaker}")
    return EvaluationSet(ids, cells, speakers)


class PitchOrNoise:
    """Layer 0 has log F0 among its dimensions; layer 1 knows nothing of the waveform."""

    name, num_layers, dim = "pitch", 2, 3

    def __call__(self, waveform):
        frames = num_frames(len(waveform))
        generator = np.random.default_rng(frames + int(1e6 * abs(waveform[100])))
        noise = generator.normal(size=(2, frames, 3))
        noise[0, :, 1] = np.nan_to_num(semitones(waveform, frames), nan=80.0)
        return torch.from_numpy(noise.astype("f4"))

    def fingerprint(self):
        return self.name


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    test, train = voices(folder, "test", 18), voices(folder, "training", 12)
    probe = VoiceProbe(num_units=8)
    evaluation = Evaluation(folder / "out", test, [], [probe], train, progress=False)
    evaluation.run(PitchOrNoise())
    table = to_table(evaluation.cells())
    return {metric: part.sort_values("layer") for metric, part in table.groupby("metric")}


def test_pitch_is_found_where_it_is_and_nowhere_else(figures):
    for metric in ("f0_correlation", "unit_f0_correlation"):
        there, nowhere = figures[metric].value
        assert there > 0.95 and abs(nowhere) < 0.25, metric
        low, high = figures[metric].low.iloc[0], figures[metric].high.iloc[0]
        assert low <= there <= high <= 1 + 1e-9
    there, nowhere = figures["intonation_correlation"].value
    assert there > 0.9 and abs(nowhere) < 0.25


def test_units_of_pitch_name_speakers_of_another_pitch(figures):
    there, nowhere = figures["unit_speaker_accuracy"].value
    assert there == 1 and nowhere < 0.8


@pytest.mark.parametrize("frames", [49, 24])
def test_semitones_are_those_of_the_sound(frames):
    up = 12 * np.log2(np.linspace(120, 180, RATE))
    found = semitones(buzz(2 ** (up / 12)), frames)
    voiced = np.isfinite(found)
    places = np.clip(200 + 320 * np.arange(49), 0, RATE - 1)
    expected = up[places] if frames == 49 else up[places[1::2]]
    assert voiced.mean() > 0.8
    np.testing.assert_allclose(found[voiced], expected[voiced], atol=0.35)
    assert np.isnan(semitones(np.zeros(RATE), 49)).all()
    assert track_voice(np.zeros(RATE), RATE) is None


def test_a_linear_truth_is_learned_with_equal_and_constant_dimensions():
    x = np.random.default_rng(0).normal(size=(500, 4)).astype("f4")
    x = np.hstack([x, x[:, :1], np.full((500, 1), 3.0, dtype="f4")])
    y = 2 * x[:, 0] - x[:, 2] + 7
    np.testing.assert_allclose(fit_frames(x[:400], y[:400]).predict(x[400:]), y[400:], atol=0.02)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_correlation_is_pearsons_and_ignores_scale_and_offset(seed, within):
    generator = np.random.default_rng(seed)
    offset, scale = generator.uniform(-3, 3), generator.uniform(0.1, 4)
    lengths = generator.integers(0, 30, 6)
    lengths[0] = 12
    truth = [generator.normal(size=n) for n in lengths]
    found = [x + generator.normal(size=len(x)) for x in truth]
    if within:
        flat = [np.concatenate([x - x.mean() for x in part if len(x)]) for part in (truth, found)]
    else:
        flat = [np.concatenate(part) for part in (truth, found)]
    expected = np.corrcoef(*flat)[0, 1]
    one = correlation_interval(truth, found, within=within, num_resamples=50)
    assert one.value == pytest.approx(expected, abs=1e-6)
    other = correlation_interval(
        truth, [scale * x + offset for x in found], within=within, num_resamples=50
    )
    assert other.value == pytest.approx(expected, abs=1e-6)


def test_a_constant_correlates_with_nothing_and_one_speaker_has_no_interval():
    truth = [np.arange(5.0), np.arange(3.0)]
    flat = [np.full(5, 80.3), np.full(3, 80.3)]
    assert correlation_interval(truth, flat).value == 0
    flat[1] = np.full(3, 71.7)  # constant within each
    for one, other in ((truth, flat), (flat, truth), (flat, flat)):
        assert correlation_interval(one, other, within=True).value == 0
    nothing = correlation_interval([np.empty(0)] * 3, [np.empty(0)] * 3)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    one = correlation_interval(truth, truth, ["a", "a"])
    assert one.value == pytest.approx(1) and np.isnan(one.low)


def test_intervals_cover_the_truth_of_new_speakers():
    generator, covered = np.random.default_rng(3), 0
    for _ in range(60):
        truth = [generator.normal(size=200) for _ in range(20)]
        found = [0.6 * x + 0.8 * generator.normal(size=200) for x in truth]  # correlation 0.6
        one = correlation_interval(truth, found, num_resamples=200)
        covered += one.low <= 0.6 <= one.high
    assert 50 <= covered <= 60


def test_what_is_missing_is_said():
    alone = EvaluationSet(["u"], [{}])
    assert "no training split" in VoiceProbe().reason_to_skip(alone, None)
    assert "no speaker names" in VoiceProbe().remark(alone)
    with pytest.raises(ValueError, match="got num_units 1; expected 2 or more"):
        VoiceProbe(1)
