"""Words of tones by speakers with a hum of their own, and features that know one or the other."""

import numpy as np
import torch

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.conditions import Clean
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probes import CleanFeatures

PHONES = {"AA": 10, "B": 18, "CH": 26, "D": 34}  # tones in steps of 40 Hz
SPEAKERS = {"ann": 50, "bob": 58, "cem": 66, "dee": 74}
WORDS = {
    "APPLE": "AA B AA D", "BREAD": "B CH D CH", "CHAIR": "CH AA CH B", "DOORS": "D B CH AA",
    "EAGLE": "AA D B CH", "FLUTE": "CH B D AA", "GO": "B D B D",
}  # fmt: skip
PHONE_SECONDS, PAUSE = 0.08, 0.1


def tone(step, seconds):
    return np.sin(2 * np.pi * 40 * step * np.arange(round(16000 * seconds)) / 16000)


def spoken_corpus(count=24, seed=0, words_per_utterance=2, speakers=tuple(SPEAKERS)):
    """Every speaker says words in turn, pauses between them."""
    generator = np.random.default_rng(seed)
    columns = {"ids": [], "audio": [], "speakers": [], "alignments": [], "word_alignments": []}
    for index in range(count):
        speaker, parts, phones, words, now = speakers[index % len(speakers)], [], [], [], 0.0
        for word in generator.choice(list(WORDS), words_per_utterance):
            parts.append(np.zeros(round(16000 * PAUSE)))
            phones.append(f"{now:.3f}:SIL")
            words += [f"{now:.3f}:SIL", f"{now + PAUSE:.3f}:{word}"]
            now += PAUSE
            for phone in WORDS[word].split():
                parts.append(tone(PHONES[phone], PHONE_SECONDS))
                phones.append(f"{now:.3f}:{phone}")
                now += PHONE_SECONDS
        waveform = np.concatenate([*parts, np.zeros(round(16000 * PAUSE))])
        waveform = waveform + tone(SPEAKERS[speaker], len(waveform) / 16000)
        waveform += generator.normal(0, 0.02, len(waveform))
        columns["ids"].append(f"u{index}")
        columns["audio"].append({"array": (0.2 * waveform).astype("f4"), "sampling_rate": 16000})
        columns["speakers"].append(speaker)
        columns["alignments"].append(" ".join([*phones, f"{now:.3f}:SIL"]))
        columns["word_alignments"].append(" ".join([*words, f"{now:.3f}:SIL"]))
    return EvaluationSet(**columns)


class ToneFeatures:
    """Layer 0 knows the phone, layer 1 the speaker, layer 2 nothing; `factor` frames become one."""

    name, num_layers, dim = "tones", 3, 4

    def __init__(self, factor=1):
        self.factor = factor

    def __call__(self, waveform):
        starts = 320 * np.arange(num_frames(len(waveform)))
        spectrum = np.abs(np.fft.rfft([waveform[s : s + 400] for s in starts]))
        noise = np.random.default_rng(int(1e6 * np.abs(waveform).sum()))
        layers = [
            np.log(0.5 + spectrum[:, list(PHONES.values())]),
            np.log(0.5 + spectrum[:, list(SPEAKERS.values())]),
            noise.normal(size=(len(starts), 4)),
        ]
        places = slice(self.factor // 2, None, self.factor)
        return torch.from_numpy(np.stack(layers)[:, places].astype("f4"))

    def fingerprint(self):
        return f"{self.name} {self.factor}"


def measured(probe, test, folder, factor=1):
    """Return metric -> the values of the layers (or the one value), of clean speech."""
    features = ToneFeatures(factor)
    assert probe.reason_to_skip(test, None) is None
    values = [features(test.read(index)) for index in range(len(test))]
    store = write_store(folder / "features", values, "test")
    probe.fit(CleanFeatures(features, test, None, folder), folder / "state")
    probe.begin(Clean())
    probe.finish(store)
    found = {}
    for row in probe.rows():
        found.setdefault(row.metric, []).append(row.value)
    return found
