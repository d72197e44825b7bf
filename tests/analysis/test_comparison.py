import logging

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.analysis.comparison import ComparisonSettings, EncoderComparison
from hf_rspin.analysis.results import ResultsFile
from hf_rspin.evaluation.distortions import GaussianNoise
from hf_rspin.evaluation.featurizer import EncoderFrontEnd, LogMelFrontEnd
from hf_rspin.evaluation.phone_recognition import ProbeArguments
from hf_rspin.evaluation.utterances import Utterances

TONES = {"AA": 300.0, "B": 1200.0, "CH": 3500.0}


@pytest.fixture
def corpora(tmp_path):
    """Speakers with their own loudness say sequences of tones of 120 ms."""
    rng = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 24), ("test", 12)):
        columns = {"ids": [], "audio": [], "speakers": [], "phones": []}
        for index in range(count):
            phones = np.array(list(TONES))[rng.integers(1, 3, 5).cumsum() % 3].tolist()
            times = np.arange(1920) / 16000
            waveform = np.concatenate([np.sin(2 * np.pi * TONES[p] * times) for p in phones])
            speaker = index % 3
            noise = rng.normal(0, 0.01, len(waveform))
            path = tmp_path / f"{split}{index}.wav"
            soundfile.write(path, 0.03 * 3**speaker * (waveform + noise), 16000)
            columns["ids"].append(path.stem)
            columns["audio"].append({"path": str(path), "bytes": None})
            columns["speakers"].append(f"{split}-{speaker}")
            columns["phones"].append(phones)
        made[split] = Utterances(**columns)
    return made["train"], made["test"]


class CountedFrontEnd(LogMelFrontEnd):
    calls = 0

    def __call__(self, waveform):
        self.calls += 1
        return super().__call__(waveform)


SETTINGS = ComparisonSettings(
    ProbeArguments(num_updates=80, batch_size=8, evaluations=4, learning_rate=1e-2), num_workers=1
)


def test_the_whole_comparison_and_its_resume(corpora, tmp_path):
    train, test = corpora
    results = ResultsFile(tmp_path / "out" / "results.json", {})
    comparison = EncoderComparison(results, test, [GaussianNoise(-5.0)], train, SETTINGS)
    front_end = CountedFrontEnd()
    comparison.run(front_end)
    assert front_end.calls == len(train) + 2 * len(test)
    clean, noisy = results.conditions("log-mel").values()
    assert clean.counts.rate < 0.1 < noisy.counts.rate
    assert clean.cka is None and 0 < noisy.cka_debiased[0] < noisy.cka[0] < 0.99
    assert clean.speaker_accuracy[0] == 1
    assert not (tmp_path / "out" / "features" / "log-mel").exists()

    again = ResultsFile(results.path, {})
    more = [GaussianNoise(-5.0), GaussianNoise(40.0, name="faint")]
    EncoderComparison(again, test, more, train, SETTINGS).run(front_end)
    assert front_end.calls == len(train) + 4 * len(test)  # the probe came from its file
    faint = again.conditions("log-mel")["faint"]
    assert faint.errors == clean.errors
    assert faint.cka_debiased[0] > noisy.cka_debiased[0]
    assert again.conditions("log-mel")["gaussian"] == noisy


def test_a_run_killed_in_a_condition_goes_on_with_that_condition(corpora, tmp_path):
    class Killed(GaussianNoise):
        def __call__(self, waveform, utterance):
            raise KeyboardInterrupt

    train, test = corpora
    path = tmp_path / "out" / "results.json"
    front_end = CountedFrontEnd()
    with pytest.raises(KeyboardInterrupt):
        EncoderComparison(ResultsFile(path, {}), test, [Killed()], train, SETTINGS).run(front_end)
    assert front_end.calls == len(train) + len(test)
    results = ResultsFile(path, {})
    EncoderComparison(results, test, [GaussianNoise()], train, SETTINGS).run(front_end)
    assert front_end.calls == len(train) + 2 * len(test)
    assert list(results.conditions("log-mel")) == ["clean", "gaussian"]


def test_without_labels_only_similarity_is_measured(corpora, tmp_path, caplog):
    _, test = corpora
    torch.manual_seed(0)
    model = HubertModel(HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    ))
    unlabelled = Utterances(test.ids, test.audio)
    results = ResultsFile(tmp_path / "results.json", {})
    with caplog.at_level(logging.INFO):
        comparison = EncoderComparison(results, unlabelled, [GaussianNoise()], None, SETTINGS)
        comparison.run(EncoderFrontEnd(model, "tiny"))
    noisy = results.conditions("tiny")["gaussian"]
    assert noisy.errors is None and noisy.speaker_accuracy is None
    assert len(noisy.cka_debiased) == 3
    assert "phone" in caplog.text and "speaker" in caplog.text
