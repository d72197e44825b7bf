"""Speech recognition: characters are learned, scored in Whisper's form, and go on after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hf_rspin.evaluation import Evaluation, EvaluationSet, GaussianNoise, ProbeArguments
from hf_rspin.evaluation.probes import trained
from hf_rspin.evaluation.probes.phone_recognition import PhoneRecognition
from hf_rspin.evaluation.probes.speech_recognition import SpeechRecognition
from hf_rspin.evaluation.probes.trained.folder import load_probe
from hf_rspin.evaluation.probes.trained.whisper_text import whisper_normalized
from hf_rspin.resources import load_sample

from ..corpora import Counted, tones

QUICK = ProbeArguments(num_updates=80, batch_size=8, evaluations=3, learning_rate=2e-2)
LETTERS = {"AA": "A,", "B": "b", "CH": "E"}


@pytest.fixture
def corpora(tmp_path):
    """Tones whose words are letters."""
    made = tones(tmp_path, "train", 24), tones(tmp_path, "test", 12)
    for part in made:
        part.texts = [" ".join(LETTERS[p] for p in phones) for phones in part.phones]
    return made


class Levelled(Counted):
    """Features that do not tell how loud a speaker is."""

    def __call__(self, waveform):
        return super().__call__(waveform / np.abs(waveform).max())


class Halved(Levelled):
    """Two frames in one, as SEW has them."""

    def __call__(self, waveform):
        frames = super().__call__(waveform)
        return frames[:, : frames.shape[1] // 2 * 2].unflatten(1, (-1, 2)).mean(2)


def run(tmp_path, corpora, probe, conditions=(), features=None):
    train, test = corpora
    evaluation = Evaluation(tmp_path / "out", test, conditions, [probe], train, progress=False)
    evaluation.run(features or Levelled())
    return {cell.condition: cell for cell in evaluation.cells()}


def test_words_are_learned_and_lost_in_noise(tmp_path, corpora):
    test = corpora[1]
    arguments = ProbeArguments(2e-2, num_updates=80, batch_size=8, evaluations=4)
    probe = SpeechRecognition(arguments, hidden_size=32, dropout=0.1)
    cells = run(tmp_path, corpora, probe, [GaussianNoise(-10.0)])
    clean, noisy = cells["clean"], cells["gaussian"]
    assert [row.metric for row in clean.rows] == [
        "word_error_rate", "character_error_rate", "asr_layer_weight"
    ]  # fmt: skip
    words, characters, weight = clean.rows
    assert words.value < 0.2 < 0.6 < noisy.rows[0].value and characters.value <= 0.2
    assert words.low <= words.value <= words.high and weight.value == 1
    details = clean.details
    assert words.value == pytest.approx(sum(details["errors"]) / sum(details["lengths"]))
    assert details["lengths"] == [5] * 12 and details["character_lengths"] == [9] * 12
    assert details["groups"] == test.speakers and details["ids"] == test.ids
    assert details["learning_rate"] == 2e-2 and details["search"] == []
    assert details["dev_error"] == min(one["dev_error"] for one in details["history"])

    (folder,) = (tmp_path / "out" / "probes").iterdir()
    again = load_probe(folder)
    heard = [again.recognize(Levelled()(test.read(i)).half().float()) for i in range(len(test))]
    assert heard == details["predictions"]
    first = (folder / "probe.safetensors").stat().st_mtime_ns
    run(tmp_path, corpora, probe, [GaussianNoise(3.0)])
    assert (folder / "probe.safetensors").stat().st_mtime_ns == first  # not trained again


def test_a_training_that_is_killed_begins_again_and_ends_the_same(tmp_path, corpora, monkeypatch):
    from hf_rspin.evaluation.probes.trained import loop

    arguments = ProbeArguments(None, [1e-2, 1e-3], 0.5, num_updates=8, batch_size=8, evaluations=4)
    evaluate, calls = loop.evaluate_probe, []

    def killed(*given):
        calls.append(given)
        if len(calls) == 6:  # in the training that counts
            raise KeyboardInterrupt
        return evaluate(*given)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "evaluate_probe", killed)
        run(tmp_path, corpora, PhoneRecognition(arguments))
    assert not (tmp_path / "out" / "probes").exists()
    again = run(tmp_path, corpora, PhoneRecognition(arguments))["clean"]
    whole = run(tmp_path / "other", corpora, PhoneRecognition(arguments))["clean"]
    assert (again.rows, again.details) == (whole.rows, whole.details)
    assert [one["learning_rate"] for one in again.details["search"]] == [1e-2, 1e-3]
    assert again.details["learning_rate"] in (1e-2, 1e-3) and again.details["history"]


def test_texts_are_compared_in_the_form_of_whisper(tmp_path, corpora):
    probe = SpeechRecognition(QUICK, hidden_size=2)
    probe.references = ["twenty one colours can't", "uh"]
    probe._tested, probe._heard = [0, 1], {0: "21 color can not", 1: ""}
    assert probe.counts().errors.tolist() == [1, 0] and probe.counts().lengths.tolist() == [4, 0]
    probe.whisper_normalization = False
    assert probe.counts().errors.tolist() == [4, 1] and probe.counts().lengths.tolist() == [4, 1]
    assert whisper_normalized("Mr. Neil can't (loud)  see Grey!") == "mister neil can not see gray"
    assert probe.texts(corpora[0])[0] == corpora[0].texts[0].replace(",", "").lower()
    licence = Path(trained.__file__).with_name("english_spellings.LICENSE")
    assert "MIT License" in licence.read_text()


def test_what_decides_the_numbers_is_in_the_settings():
    probe = SpeechRecognition(QUICK)
    assert probe.settings() == SpeechRecognition(QUICK, device="cuda").settings()
    for other in (
        SpeechRecognition(QUICK, 1), SpeechRecognition(QUICK, hidden_size=8),
        SpeechRecognition(QUICK, spec_augment=False), SpeechRecognition(ProbeArguments()),
        SpeechRecognition(QUICK, whisper_normalization=False), SpeechRecognition(QUICK, depth=1),
    ):  # fmt: skip
        assert other.settings() != probe.settings()
    assert SpeechRecognition(QUICK, 7).arguments.seed == 7 == SpeechRecognition(QUICK, 7).seed
    assert SpeechRecognition(ProbeArguments(seed=3)).seed == 3
    for wrong in ({"hidden_size": 0}, {"depth": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=f"got {next(iter(wrong))}"):
            SpeechRecognition(QUICK, **wrong)


def test_what_is_missing_is_said_and_utterances_without_text_are_left_out(tmp_path, corpora):
    train, test = corpora
    probe = SpeechRecognition(QUICK)
    assert probe.reason_to_skip(test, train) is None
    empty = EvaluationSet(test.ids, test.audio, test.speakers, texts=["", *[" "] * 11])
    bare = EvaluationSet(test.ids, test.audio, test.speakers)
    for pair in ((test, None), (bare, train), (empty, train), (test, bare)):
        assert "needs a training split, and the text of both" in probe.reason_to_skip(*pair)
    single = EvaluationSet(test.ids, test.audio, ["a"] * 12, texts=test.texts)
    assert "one speaker only" in probe.reason_to_skip(test, single)
    test.texts[2], test.texts[5], train.texts[3] = "", "zz", ""
    arguments = ProbeArguments(num_updates=2, batch_size=4, learning_rate=1e-3)
    cells = run(tmp_path, corpora, SpeechRecognition(arguments, hidden_size=4))
    assert cells["clean"].details["ids"] == test.ids[:2] + test.ids[3:]
    assert cells["clean"].details["errors"][4] >= 1  # a letter that training had not


def test_phones_at_25_hz_and_a_phone_that_training_had_not(tmp_path, corpora):
    train, test = corpora
    test.phones[0] = [*test.phones[0], "ZH"]
    probe = PhoneRecognition(QUICK)
    cells = run(tmp_path, corpora, probe, features=Halved())
    assert cells["clean"].rows[0].value < 0.2
    assert cells["clean"].details["errors"][0] >= 1 and cells["clean"].details["lengths"][0] == 6
    shifts = []
    probe = SpeechRecognition(ProbeArguments(1e-3, num_updates=1), hidden_size=2)
    make, probe.make = probe.make, lambda *a: shifts.append(a[-1]) or make(*a)
    run(tmp_path, corpora, probe, features=Halved())
    assert set(shifts) == {640} and make(1, 80, ["a"], 640).augment.time_width == 20


def test_texts_are_a_column_that_follows_its_rows_and_counts_in_the_hash():
    corpus = EvaluationSet.from_corpus(load_sample("test"))
    sample = dict(zip(load_sample("test")["id"], load_sample("test")["text"], strict=True))
    assert corpus.texts == [sample[key] for key in corpus.ids]
    assert corpus.select([4, 2]).texts == [corpus.texts[4], corpus.texts[2]]
    bare = EvaluationSet.from_corpus(load_sample("test").remove_columns("text"))
    assert bare.texts is None and bare.fingerprint() != corpus.fingerprint()
    assert bare.select([0]).texts is None


def test_a_recurrent_head_sees_each_utterance_alone():
    torch.manual_seed(0)
    probe = SpeechRecognition(QUICK, hidden_size=4).make(2, 8, [" ", "a"], 320).eval()
    features, lengths = torch.randn(2, 17, 8), [4, 10, 3]
    together = probe(features, lengths).split(lengths)
    for scores, part in zip(together, features.split(lengths, 1), strict=True):
        torch.testing.assert_close(scores, probe(part, [part.shape[1]]))
    draws = [probe(features, lengths, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], torch.cat(together))  # augmented
