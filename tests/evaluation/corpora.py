"""Speech whose every figure is known beforehand, and features that are counted."""

import numpy as np
import soundfile
import torch

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import EvaluationSet, LogMelFeatures

TONES = {"AA": 300.0, "B": 1200.0, "CH": 3500.0}


def tones(folder, split, count, seed=0):
    """Three speakers with their own loudness say sequences of five tones of 120 ms."""
    rng = np.random.default_rng([seed, count])
    columns = {"ids": [], "audio": [], "speakers": [], "phones": []}
    for index in range(count):
        phones = np.array(list(TONES))[rng.integers(1, 3, 5).cumsum() % 3].tolist()
        times = np.arange(1920) / 16000
        waveform = np.concatenate([np.sin(2 * np.pi * TONES[p] * times) for p in phones])
        speaker = index % 3
        noise = rng.normal(0, 0.01, len(waveform))
        path = folder / f"{split}{index}.wav"
        soundfile.write(path, 0.03 * 3**speaker * (waveform + noise), 16000)
        columns["ids"].append(path.stem)
        columns["audio"].append({"path": str(path), "bytes": None})
        columns["speakers"].append(f"{split}-{speaker}")
        columns["phones"].append(phones)
    return EvaluationSet(**columns)


def loud_and_soft(folder, prefix, number=12):
    """Two speakers, one low, one high tone; the phone is loud or soft, in steps of 100 ms."""
    generator = np.random.default_rng(len(prefix))
    ids, speakers, alignments = [], [], []
    for i in range(number):
        hertz = (600, 3600)[i % 2]
        loud = generator.integers(0, 2, 10)
        level = 0.02 + 0.4 * np.repeat(loud, 1600)
        tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000) * level
        name = f"{prefix}{i}"
        soundfile.write(folder / f"{name}.wav", tone + 1e-3 * generator.normal(size=16000), 16000)
        ids.append(name)
        speakers.append(str(i % 2))
        alignments.append(" ".join(f"{0.1 * k:.1f}:{'SL'[x]}" for k, x in enumerate(loud)))
    cells = [{"path": str(folder / f"{name}.wav"), "bytes": None} for name in ids]
    return EvaluationSet(ids, cells, speakers, alignments=alignments)


class Counted(LogMelFeatures):
    """Log-mel features that know how often they were computed."""

    calls = 0

    def __call__(self, waveform):
        self.calls += 1
        return super().__call__(waveform)


class FrameStatistics:
    """Layer 0: the spectrum of each frame; layer 1: features that ignore the waveform."""

    name, num_layers, dim = "statistics", 2, 3

    def __call__(self, waveform):
        frames = num_frames(len(waveform))
        windows = np.stack([waveform[320 * i : 320 * i + 400] for i in range(frames)])
        spectrum = np.abs(np.fft.rfft(windows))[:, [10, 40, 90]]
        fixed = np.random.default_rng(frames).normal(size=(frames, 3))
        return torch.from_numpy(np.stack([np.log(spectrum + 1e-3), fixed]).astype("f4"))

    def fingerprint(self):
        return self.name
