"""What adaptation changed: figures that are known beforehand."""

import numpy as np
import pytest
import torch

from hf_rspin.analysis.adaptation import LayerFigures, measure_layers, units_pnmi
from hf_rspin.analysis.adaptation_report import adaptation_report, adaptation_table
from hf_rspin.audio import num_frames
from hf_rspin.evaluation.distortions import Clean, GaussianNoise
from hf_rspin.evaluation.utterances import Utterances


class FrameStatistics:
    """Layer 0: the mean and energy of each frame; layer 1: features that ignore the waveform."""

    name, num_layers, dim = "statistics", 2, 3

    def __call__(self, waveform):
        frames = num_frames(len(waveform))
        windows = np.stack([waveform[320 * i : 320 * i + 400] for i in range(frames)])
        spectrum = np.abs(np.fft.rfft(windows))[:, [10, 40, 90]]
        fixed = np.random.default_rng(frames).normal(size=(frames, 3))
        return torch.from_numpy(np.stack([np.log(spectrum + 1e-3), fixed]).astype("f4"))


def corpus(tmp_path, prefix, number=12):
    """Two speakers: one low, one high tone; the phone is loud or soft."""
    import soundfile

    generator = np.random.default_rng(len(prefix))
    ids, speakers, phones = [], [], {}
    for i in range(number):
        speaker = i % 2
        hertz = (600, 3600)[speaker]
        loud = np.repeat(generator.integers(0, 2, 10), 1600)
        tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000) * (0.02 + 0.4 * loud)
        name = f"{prefix}{i}"
        soundfile.write(tmp_path / f"{name}.wav", tone + 1e-3 * generator.normal(size=16000), 16000)
        ids.append(name)
        speakers.append(str(speaker))
        phones[name] = loud[np.arange(num_frames(16000)) * 320 + 200]
    cells = [{"path": str(tmp_path / f"{name}.wav"), "bytes": None} for name in ids]
    return Utterances(ids, cells, speakers), phones


def test_known_figures(tmp_path):
    train, phones = corpus(tmp_path, "a")
    test, more = corpus(tmp_path, "bb")
    figures = measure_layers(
        FrameStatistics(), train, test, [Clean(), GaussianNoise(-10)], phones | more, 6, False
    )
    assert figures.cka["clean"] == pytest.approx([1, 1], abs=1e-5)
    assert figures.cka["gaussian"][0] < 0.9
    assert figures.cka["gaussian"][1] == pytest.approx(1, abs=1e-5)  # ignores the waveform
    assert figures.speaker_accuracy[0] == 1 and figures.speaker_accuracy[1] < 0.9
    assert figures.pnmi[0] > 0.4 and figures.pnmi[1] < 0.1


def test_pnmi_of_units_that_are_the_phones():
    generator = np.random.default_rng(0)
    phones = [generator.integers(0, 4, 200) for _ in range(6)]
    features = [np.eye(4)[p] * 5 + 0.01 * generator.normal(size=(200, 4)) for p in phones]
    assert units_pnmi(features[:3], features[3:], phones[3:], 4) == pytest.approx(1, abs=1e-6)


def test_table_and_report_say_what_is_left_out():
    history = [{"step": 10, "loss": 1.0, "spin_loss": 1.0, "accuracy": 0.1, "code_perplexity": 9.0}]
    whole = LayerFigures({"noise": [0.5, 0.25]}, [1.0, 0.5], [0.1, 0.2])
    table = adaptation_table({"before": whole, "after": whole}, 0.15)
    assert "| CKA, noise | before | 0.500 | 0.250 |" in table
    assert "| speaker accuracy | after | 100 % | 50 % |" in table and "MFCC | 0.150" in table
    bare = LayerFigures({"noise": [0.5, 0.25]})
    table = adaptation_table({"before": bare, "after": bare})
    assert "no speaker names" in table and "no phone alignment" in table
    page = adaptation_report({"before": bare, "after": bare}, history).to_html()
    assert "no phone alignment" in page and page.count("<img") == 2
    page = adaptation_report({"before": whole, "after": whole}, history, 0.15).to_html()
    assert page.count("<img") == 4


def test_training_audio_is_encoded_only_where_a_figure_needs_it(tmp_path):
    class Counting(FrameStatistics):
        calls = 0

        def __call__(self, waveform):
            Counting.calls += 1
            return super().__call__(waveform)

    train, _ = corpus(tmp_path, "a")
    test, _ = corpus(tmp_path, "bb")
    train.speakers = None
    figures = measure_layers(Counting(), train, test, [Clean()], progress=False)
    assert figures.speaker_accuracy is None and figures.pnmi is None
    assert Counting.calls == 2 * len(test)
