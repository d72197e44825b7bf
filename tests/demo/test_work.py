"""What the page does: views, recordings, units that change, pictures; no browser, no Gradio."""

import builtins
import io

import matplotlib.image
import numpy as np
import pytest
import soundfile

from hf_rspin.audio import AudioError, num_frames, read_audio
from hf_rspin.commands import demo as command
from hf_rspin.demo.changes import UnitChanges
from hf_rspin.demo.models import CLUSTERS, OWN, find_models, locate
from hf_rspin.demo.page import EMPTY, NO_MODEL, show, sound
from hf_rspin.demo.pictures import picture, spectrogram
from hf_rspin.demo.recordings import read_recording, sample_utterances
from hf_rspin.demo.views import LINES, NOISES, ROOMS, ViewSettings, distort
from hf_rspin.demo.words import headline, unit_strings
from hf_rspin.units import UnitSequence

RAIN = ViewSettings(noise="rain", snr_db=0.0)


def power(waveform):
    return float(np.mean(np.square(waveform - waveform.mean(), dtype=np.float64)))


@pytest.fixture(scope="module")
def speech(recordings):
    return read_audio(recordings[0])


def test_a_view_without_settings_is_the_recording(speech):
    view, notes = distort(speech, ViewSettings())
    np.testing.assert_array_equal(view, speech)
    assert notes == [] and ViewSettings().describe() == "nothing"


@pytest.mark.parametrize("noise", NOISES[1:])
def test_noise_has_the_asked_ratio(speech, noise):
    view, _ = distort(speech, ViewSettings(noise=noise, snr_db=3.0))
    assert 10 * np.log10(power(speech) / power(view - speech)) == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    "settings",
    [*(ViewSettings(room=room) for room in ROOMS[1:]), *(ViewSettings(line=x) for x in LINES),
     ViewSettings(pitch=1.4), ViewSettings("rain", 5.0, "0.6 s", "mobile phone (GSM)", 1.0, 0.8)],
)  # fmt: skip
def test_views_keep_length_and_timing_and_are_the_same_every_time(speech, settings):
    view, _ = distort(speech, settings)
    assert view.shape == speech.shape and np.isfinite(view).all()
    np.testing.assert_array_equal(view, distort(speech, settings)[0])
    changes = settings != ViewSettings()
    assert (np.abs(view - speech).max() > 0.001) == changes
    steps = [np.sqrt(np.add.reduceat(np.square(x), np.arange(0, len(x), 320)))
             for x in (speech, view)]  # fmt: skip
    lags = [np.corrcoef(steps[0][5:-5], np.roll(steps[1], lag)[5:-5])[0, 1] for lag in range(-4, 5)]
    assert abs(int(np.argmax(lags)) - 4) <= 1  # within a frame of 20 ms


def test_longer_rooms_ring_longer(speech):
    click = np.zeros(16_000, np.float32)
    click[100] = 0.9
    tails = [power(distort(click, ViewSettings(room=room))[0][8000:]) for room in ROOMS[1:]]
    assert tails == sorted(tails) and tails[-1] > 100 * tails[0]


def test_a_voice_that_cannot_be_changed_is_said(workshop, tmp_path):
    hiss = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    sentence = "The voice stayed as it is: too little of the recording is voiced."
    assert distort(hiss, ViewSettings(pitch=1.5))[1] == [sentence]
    soundfile.write(tmp_path / "hiss.wav", hiss, 16_000)
    name = list(workshop.places)[1]
    shown = show(workshop, str(tmp_path / "hiss.wav"), "none", 5, "none", "none", 1.5, 1, name,
                 NO_MODEL, CLUSTERS)  # fmt: skip
    assert sentence in shown[0] and "0.5 s of sound" in shown[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"noise": "train"}, "noise is 'train'; expected one of none, white, fan"),
     ({"snr_db": 90}, "the SNR is 90 dB; expected -20 to 60"),
     ({"pitch": 0}, "pitch is 0; expected 0.25 to 4")],
)  # fmt: skip
def test_settings_that_do_not_exist(values, message):
    with pytest.raises(ValueError, match=message):
        ViewSettings(**values)


def test_of_long_files_the_first_half_minute_is_used(tmp_path):
    path = tmp_path / "long.wav"
    sound = (0.1 * np.random.default_rng(0).standard_normal((31 * 8000, 2))).astype(np.float32)
    soundfile.write(path, sound, 8000)
    waveform, note = read_recording(path)
    assert len(waveform) == 30 * 16_000
    assert note == "The recording lasts 31 s; the first 30 s are used."
    assert read_recording(next(iter(sample_utterances().values())))[1] == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda p: p.write_text("no audio"), "bad.wav"),
     (lambda p: soundfile.write(p, np.zeros(16_000), 16_000), "bad.wav"),
     (lambda p: soundfile.write(p, np.resize([0.1, -0.1], 300), 16_000), "bad.wav is shorter than"),
     (lambda p: None, "bad.wav")],
)  # fmt: skip
def test_a_bad_file_is_one_sentence_without_its_folder(tmp_path, make, message, workshop):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(AudioError, match=message) as error:
        read_recording(path)
    assert str(tmp_path) not in str(error.value)
    shown = show(workshop, str(path), "none", 5, "none", "none", 1, 1, "bundled", NO_MODEL, "own")
    assert message in shown[0] and shown[1:] == ("", None, None, "", "")


def test_a_page_without_a_recording_says_what_to_do(workshop):
    shown = show(workshop, None, "none", 5, "none", "none", 1, 1, "bundled", NO_MODEL, "own")
    assert EMPTY in shown[0] and shown[2] is None


def test_the_share_of_changed_units_by_hand():
    sequences = [UnitSequence.from_frames(np.array(x)) for x in ([1, 1, 1, 2, 3], [1, 4, 4, 2, 5])]
    change = UnitChanges("a", "units", *sequences, 6)
    assert (change.num_changed, change.num_frames, change.share) == (3, 5, 0.6)
    assert change.segments_changed(change.original).tolist() == [True, False, True]
    assert change.segments_changed(change.distorted).tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match="got 5 and 2 frames"):
        UnitChanges("a", "units", sequences[0], UnitSequence.from_frames(np.array([1, 2])), 6)


def test_nothing_changes_without_a_distortion_and_much_does_in_noise(workshop, recordings):
    clean, noisy, noisier = (
        workshop.compare(recordings[1], settings, ["bundled"]).changes[0]
        for settings in (ViewSettings(), ViewSettings("rain", 20.0), RAIN)
    )
    assert clean.num_changed == 0 and clean.num_frames == num_frames(len(read_audio(recordings[1])))
    assert 0 < noisy.share < noisier.share < 1


def test_two_models_have_clusters_made_in_the_same_way(workshop, recordings):
    found = workshop.compare(recordings[0], RAIN, list(workshop.places))
    assert [change.vocab_size for change in found.changes] == [20, 20]
    assert [change.units for change in found.changes] == [
        "20 clusters of layer 6", "20 clusters of layer 2"
    ]  # fmt: skip
    assert "different numbers" not in headline(found)


def test_own_units_are_the_pieces_that_one_predicts_and_the_other_taught(workshop, recordings):
    names = list(workshop.places)
    found = workshop.compare(recordings[0], RAIN, names, OWN)
    before, after = (change.units for change in found.changes)
    assert before.endswith("acoustic pieces of 30 clusters of layer 5")
    assert after.endswith("acoustic pieces, predicted by its head")
    assert len({change.vocab_size for change in found.changes}) == 1
    alone = workshop.compare(recordings[0], RAIN, names[:1], OWN)
    assert alone.changes[0].units == "20 clusters of layer 6"


def test_clusters_are_fitted_once_and_again_where_they_are_damaged(workshop, monkeypatch):
    workshop.listener("bundled", CLUSTERS)
    monkeypatch.setattr(workshop, "_loaded", {})
    monkeypatch.setattr("hf_rspin.demo.clusters.fit", lambda *_: pytest.fail("fitted again"))
    first = workshop.listener("bundled", CLUSTERS).tokenizer.kmeans.cluster_centers
    assert first.shape == (20, 256) and np.isfinite(first).all()


def test_models_are_found_by_quickstart_folder_and_below_runs(quickstart, tmp_path, monkeypatch):
    for name in (quickstart, quickstart / "model"):
        place = locate(str(name))
        assert place.model == str(quickstart / "model")
        assert place.kmeans == quickstart / "kmeans"
        assert place.pieces == quickstart / "acoustic_pieces"
    found = find_models("bundled", None, quickstart.parent)
    assert list(found)[0] == "bundled" and found["bundled"].kmeans is None
    assert len(found) == 2 and list(found)[1].endswith("/quickstart")
    assert list(find_models("bundled", None, tmp_path / "none")) == ["bundled"]
    with pytest.raises(ValueError, match="expected a folder with config.json"):
        find_models("bundled", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="got the model 'x'; expected bundled"):
        from hf_rspin.demo.work import Workshop

        Workshop(found).listener("x", CLUSTERS)


def test_the_picture_is_wide_enough_for_long_recordings(workshop, tmp_path, recordings):
    short, width = picture(workshop.compare(recordings[0], RAIN, list(workshop.places)))
    image = matplotlib.image.imread(io.BytesIO(short))
    assert image.shape[1] == 2 * width == 2120
    orange = np.abs(image[..., :3] - np.array([0xF3, 0xA2, 0x61]) / 255).max(-1) < 0.01
    half = len(image) // 2
    assert orange[:half].sum() == 0 and orange[half:].sum() > 1000  # only in the view
    path = tmp_path / "long.wav"
    speech = np.concatenate([read_audio(one) for one in recordings[:3]])
    soundfile.write(path, speech, 16_000)
    _, wide = picture(workshop.compare(path, RAIN, ["bundled"]))
    assert wide == int(300 * len(speech) / 16_000) > 1060


def test_the_spectrogram_has_a_tone_at_its_frequency_and_time():
    tone = np.zeros(16_000, np.float32)
    tone[8000:] = np.sin(2 * np.pi * 2000 * np.arange(8000) / 16_000)
    levels, times = spectrogram(tone)
    assert levels.shape == (513, len(times)) and levels.max() == pytest.approx(0, abs=0.01)
    assert np.argmax(levels[:, np.argmin(np.abs(times - 0.75))]) == 128  # 2000 Hz of 8000
    assert levels[:, times < 0.45].max() < -60


def test_what_visitors_read_is_escaped_and_marked(workshop, recordings, monkeypatch):
    found = workshop.compare(recordings[0], RAIN, ["bundled"])
    change = found.changes[0]
    evil = UnitChanges("<script>", "u", change.original, change.distorted, 20)
    found = type(found)(found.original, found.distorted, RAIN, [evil], [])
    text, strings = headline(found), unit_strings(found)
    assert "<script>" not in text + strings and "&lt;script&gt;" in text
    assert f"{change.num_changed} of {change.num_frames} frames" in text
    marks = [change.segments_changed(one).sum() for one in (change.original, change.distorted)]
    assert strings.count("<mark") == sum(marks) > 0
    assert strings.count("<mark") + strings.count("<span") == len(change.original) + len(
        change.distorted
    )


def test_players_get_whole_numbers_within_full_scale():
    rate, samples = sound(np.array([0.0, 2.0, -4.0], np.float32))
    assert rate == 16_000 and samples.dtype == np.int16 and samples.tolist() == [0, 16384, -32767]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--port", "80"], "port is 80; expected 1024"), (["--clusters", "1"], "clusters is 1"),
     (["--device", "tpu"], "the device 'tpu' cannot be used"),
     (["--model", "/gone"], "/gone is neither a folder nor"), (["--listn"], "did you mean listen")],
)  # fmt: skip
def test_mistakes_on_the_command_line(words, message):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert message in str(ended.value) and "\n" not in str(ended.value)


def test_without_gradio_the_install_line_is_said(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **options):
        if name == "gradio":
            raise ImportError("No module named 'gradio'")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SystemExit, match=r"pip install 'hf-rspin\[demo\]'"):
        command.main([])
