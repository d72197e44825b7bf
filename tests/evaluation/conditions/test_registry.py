import csv

import numpy as np
import pytest
import soundfile

from hf_rspin.evaluation.conditions import (
    ALIASES,
    CONDITIONS,
    Babble,
    BackgroundNoise,
    GaussianNoise,
    Reverberation,
    make_conditions,
)

ISSUE = (
    "clean gaussian noise_seen noise_unseen babble reverb codec telephone lowpass clipping "
    "packet_loss"
).split()


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Return a folder of one seen and one unseen tone."""
    folder = tmp_path_factory.mktemp("noise")
    for name, hertz in (("seen", 1000), ("unseen", 3000)):
        tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(32000) / 16000)
        soundfile.write(folder / f"{name}.wav", tone, 16000)
    with open(folder / "metadata.csv", "w", newline="") as file:
        rows = [("file_name", "split"), ("seen.wav", "test"), ("unseen.wav", "test_unseen")]
        csv.writer(file).writerows(rows)
    return folder


def peaks(condition, waveform):
    spectrum = np.abs(np.fft.rfft(condition(waveform, "u") - waveform))
    return 16000 * int(np.argmax(spectrum)) / len(waveform)


def test_the_command_line_of_the_issue(noise, spoken, waveform):
    ratios = [20, 10, 5, 0, -5, -10]
    found = make_conditions(ISSUE, ratios, noise=noise, babble_pool=spoken)
    names = [condition.name for condition in found]
    assert list(dict.fromkeys(names)) == ISSUE
    for name in ISSUE:
        expected = ratios if "noise" in name or name in ("gaussian", "babble") else [None]
        assert [c.snr_db for c in found if c.name == name] == expected
    made = {condition.name: condition for condition in found}
    assert peaks(made["noise_seen"], waveform) == pytest.approx(1000, abs=5)
    assert peaks(made["noise_unseen"], waveform) == pytest.approx(3000, abs=5)
    for condition in found:
        assert condition(waveform, "u").shape == waveform.shape


def test_old_names_are_understood_once(noise):
    old = ["seen_noise", "noise_seen", "unseen_noise", "rooms", "reverb"]
    found = make_conditions(old, [0, 0.0], noise=noise)
    assert [condition.name for condition in found] == ["noise_seen", "noise_unseen", "reverb"]
    assert set(ALIASES.values()) <= set(CONDITIONS)


def test_severities_and_seed_reach_every_condition(spoken, waveform):
    names = ["lowpass", "packet_loss", "gaussian", "babble", "reverb", "codec", "telephone"]
    found = make_conditions(names, [3], babble_pool=spoken, severities=[1, 4, 1], seed=5)
    graded = [f"{name}_{severity}" for name in ("lowpass", "packet_loss") for severity in (1, 4)]
    assert [condition.name for condition in found[:4]] == graded
    assert all(condition.seed == 5 for condition in found[2:])
    with pytest.raises(ValueError, match="got severity 9 of clipping"):
        make_conditions(["clipping"], severities=[9])


def test_rooms_are_measured_and_simulated(tmp_path):
    response = np.zeros(800)
    response[[0, 500]] = 1.0, 0.5
    soundfile.write(tmp_path / "room.wav", response, 16000)
    (found,) = make_conditions(["reverb"], rooms=tmp_path, simulated_rooms=0)
    assert isinstance(found, Reverberation)
    np.testing.assert_allclose(found.responses[0], response, atol=1e-3)
    (found,) = make_conditions(["reverb"], rooms=tmp_path, simulated_rooms=2)
    assert len(found.responses) == 3


def test_babble_is_told_who_speaks(spoken):
    (found,) = make_conditions(
        ["babble"], [0], babble_pool=spoken, speakers={"new": spoken.speakers[0]}
    )
    assert isinstance(found, Babble)
    others = {spoken.speakers[place] for place in found.others("new")}
    assert spoken.speakers[0] not in others and len(others) == len(set(spoken.speakers)) - 1


def test_a_noise_folder_without_splits_is_one_kind_of_noise(tmp_path):
    soundfile.write(tmp_path / "hum.wav", np.sin(np.arange(8000) / 9), 16000)
    (found,) = make_conditions(["noise"], [0], noise=tmp_path)
    assert isinstance(found, BackgroundNoise) and found.name == "noise"
    with pytest.raises(ValueError, match="noise_seen got the noise folder .* without splits"):
        make_conditions(["noise_seen"], [0], noise=tmp_path)
    (found,) = make_conditions(["noise_seen"], [0], noise=tmp_path, seen_split=None)
    assert found.name == "noise_seen"


def test_what_cannot_be_made_is_refused_with_what_can():
    with pytest.raises(ValueError, match="got the condition 'fog', expected some of clean, gauss"):
        make_conditions(["clean", "fog"])
    for name in ("noise", "noise_seen", "seen_noise"):
        with pytest.raises(ValueError, match="folder of noise .* among clean, gaussian, reverb"):
            make_conditions([name])
    with pytest.raises(ValueError, match="condition babble needs utterances of other speakers"):
        make_conditions(["babble"])
    with pytest.raises(ValueError, match="condition reverb needs a folder of room responses, or"):
        make_conditions(["reverb"], simulated_rooms=0)
    for ratios in ([], [np.nan]):
        with pytest.raises(ValueError, match="got SNRs .* for gaussian, expected at least one"):
            make_conditions(["gaussian"], ratios)
    assert make_conditions(["lowpass"], []) and make_conditions([]) == []
    assert make_conditions(["gaussian"]) == [GaussianNoise(0.0)]
