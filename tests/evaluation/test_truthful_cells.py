"""Cells say what they are of: the audio, the definitions, the precision; tables never mix them."""

import json
import logging
import multiprocessing
from dataclasses import dataclass, replace

import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.evaluation import (
    CkaProbe,
    Evaluation,
    EvaluationSet,
    GaussianNoise,
    LinearPhones,
    PhoneRecognition,
    PretrainedEncoderFeatures,
    ProbeArguments,
    UnitProbe,
    load_features,
)
from hf_rspin.evaluation import precision as precision_module
from hf_rspin.evaluation.cells import MixedResultsError, read_cells
from hf_rspin.evaluation.precision import PRECISION_FILE, folder_precision
from hf_rspin.evaluation.reading import without_measured
from hf_rspin.evaluation.results import write_results

from .corpora import Counted, loud_and_soft, tones


def units_of(folder, test, encoder, made=None, **options):
    evaluation = Evaluation(folder, test, [], made or [UnitProbe(4)], progress=False, **options)
    evaluation.run(encoder)
    return evaluation


@pytest.mark.parametrize("form", ["path", "bytes", "array"])
def test_whichever_recording_changes_is_measured_again(tmp_path, form):
    test = tones(tmp_path, "test", 24)
    paths = [cell["path"] for cell in test.audio]

    def make():
        if form == "path":
            audio = [{"path": path, "bytes": None} for path in paths]
        elif form == "bytes":
            audio = [{"path": None, "bytes": open(path, "rb").read()} for path in paths]
        else:
            audio = [soundfile.read(path, dtype="float32")[0] for path in paths]
        return replace(test, audio=audio, _audio_keys=None)

    known = {make().fingerprint()}
    for number, path in enumerate(paths):
        samples, rate = soundfile.read(path)
        noise = np.random.default_rng(number).normal(0, 0.01, len(samples))
        soundfile.write(path, samples + noise, rate)
        known.add(make().fingerprint())
        assert len(known) == number + 2


def padded(folder, count):
    """Recordings of 40 s that differ for a tenth of a second only, between silences."""
    samples = np.zeros(640_000, dtype=np.float32)
    paths = []
    for number in range(count):
        samples[3000:4600] = np.random.default_rng(number).normal(0, 0.1, 1600)
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], samples, 16000)
    return paths


@pytest.mark.parametrize("seconds", [40, 20])
def test_recordings_that_are_silent_for_the_most_part_are_not_the_same(tmp_path, seconds):
    for path in padded(tmp_path, 6):
        soundfile.write(path, soundfile.read(path)[0][: 16000 * seconds], 16000)
    cells = [{"path": str(tmp_path / f"{n}.wav"), "bytes": None} for n in range(6)]
    test, train = (EvaluationSet([str(n) for n in some], [cells[n] for n in some])
                   for some in (range(3), range(2, 6)))  # fmt: skip
    assert train.shared_with(test) == [0]
    decoded = [{"path": "a.wav", "array": soundfile.read(cell["path"])[0], "sampling_rate": 16000}
               for cell in cells]  # fmt: skip
    keys = EvaluationSet(list("abcdef"), decoded).audio_keys()
    assert len(set(keys)) == 6 and None not in keys
    lost = EvaluationSet(["a", "b"], [{"path": "not there", "bytes": None}] * 2)
    assert lost.audio_keys() == [None, None] and lost.shared_with(lost) == []


def test_changed_audio_gives_new_cells(tmp_path):
    test = tones(tmp_path, "test", 24)
    encoder = Counted()
    first = units_of(tmp_path / "out", test, encoder).cells()
    path = test.audio[13]["path"]
    soundfile.write(path, 0.5 * soundfile.read(path)[0], 16000)
    again = EvaluationSet(test.ids, test.audio, test.speakers, test.phones)
    second = units_of(tmp_path / "out", again, encoder).cells()
    assert len(first) == len(second) == 1 and first[0].key != second[0].key


def test_a_probe_of_another_version_measures_again(tmp_path, monkeypatch):
    test = tones(tmp_path, "test", 12)
    units_of(tmp_path / "out", test, Counted())
    monkeypatch.setattr(UnitProbe, "version", UnitProbe.version + 1)
    again = Evaluation(tmp_path / "out", test, [], [UnitProbe(4)], progress=False)
    assert again.cells() == []
    again.run(Counted())
    assert len(again.cells()) == 1 and len(list(read_cells(tmp_path / "out" / "cells"))) == 2


def test_probes_of_one_name_differ_in_the_seed_alone(tmp_path):
    test = tones(tmp_path, "test", 12)
    with pytest.raises(ValueError, match="got probes 'units' of different settings, .*'num_units'"):
        Evaluation(tmp_path, test, [], [UnitProbe(4), UnitProbe(8)], progress=False)
    arguments = ProbeArguments(num_updates=2, learning_rate=1e-2)
    seeds = [PhoneRecognition(replace(arguments, seed=seed)) for seed in range(2)]
    made = [UnitProbe(4), UnitProbe(4, seed=1), *seeds]
    evaluation = Evaluation(tmp_path, test, [], made, tones(tmp_path, "train", 12), progress=False)
    assert len(evaluation.probes) == 4


def test_training_on_what_is_measured_is_said(tmp_path, caplog):
    test, train = loud_and_soft(tmp_path, "test"), loud_and_soft(tmp_path, "train")
    names = [f"other name {name}" for name in test.ids]
    both = EvaluationSet(
        [*train.ids, *names], [*train.audio, *test.audio], [*train.speakers, *test.speakers],
        alignments=[*train.alignments, *test.alignments],
    )  # fmt: skip
    said = Evaluation(tmp_path, test, [], [LinearPhones()], both, progress=False).left_out
    assert any("12 of 24 training utterances are measured too" in one for one in said)
    assert without_measured(both, test)[0].ids == train.ids
    assert without_measured(test, both)[0] is None
    clean = Evaluation(tmp_path, test, [], [LinearPhones()], train, progress=False)
    assert not any("measured too" in one for one in clean.left_out)


def test_units_learned_on_what_is_measured_are_said(tmp_path):
    test = tones(tmp_path, "test", 12)
    sentence = "Nothing else is there to learn from: what learns without labels (units) learns on"
    alone = Evaluation(tmp_path, test, [], [UnitProbe(4)], progress=False)
    beside = Evaluation(
        tmp_path, test, [], [UnitProbe(4)], tones(tmp_path, "t", 12), progress=False
    )
    assert any(one.startswith(sentence) for one in alone.left_out)
    assert not any(one.startswith(sentence) for one in beside.left_out)


def test_a_part_of_the_labels_is_said(tmp_path):
    test = tones(tmp_path, "test", 6)
    assert test.remark() is None and test.labelled() == {"phones": 6}
    few = replace(test, phones=[[], *test.phones[1:]], alignments=["0.0:AA", *[""] * 5])
    assert few.labelled() == {"phones": 5, "times of phones": 1}
    said = Evaluation(tmp_path / "out", few, [], [UnitProbe(4)], progress=False).left_out
    assert any("Not all of 6 test utterances have labels" in one and
               "phones of 5, times of phones of 1" in one for one in said)  # fmt: skip


def features_in(encoder, bf16):
    return PretrainedEncoderFeatures(encoder, "tiny", bf16=bf16)


def test_the_precision_is_in_cells_and_captions_and_is_never_mixed(encoder, tmp_path):
    test, noise = tones(tmp_path, "test", 6), [GaussianNoise()]
    made = [UnitProbe(4), CkaProbe()]
    folder = tmp_path / "out"
    evaluation = Evaluation(folder, test, noise, made, progress=False)
    evaluation.run(features_in(encoder, False))
    evaluation.run(load_features("mfcc"))
    cells = evaluation.cells()
    assert {(c.encoder, c.about["precision"]) for c in cells} == {
        ("tiny", "float32"), ("mfcc", None),
    }  # fmt: skip
    text = write_results(cells, tmp_path / "results")
    about = json.loads((tmp_path / "results" / "results.json").read_text())["about"]
    assert about["precision"] == "float32" and "encoders (float32) tiny, mfcc" in text
    sentence = r"'tiny' in float32, and this is bfloat16: give --bf16 false to go on with them"
    with pytest.raises(MixedResultsError, match=sentence):
        evaluation.run(features_in(encoder, True))
    encoder.eval()
    with torch.no_grad():
        next(encoder.encoder.layers.parameters()).add_(0.5)
    with pytest.raises(MixedResultsError, match="with other weights, precision or input"):
        evaluation.run(features_in(encoder, False))


@dataclass(frozen=True)
class Meanwhile(GaussianNoise):
    """A condition in which another process measures the same encoder in another precision."""

    other: object = None

    def __call__(self, waveform, utterance):
        if self.other is not None:
            self.other()
        return super().__call__(waveform, utterance)


def test_of_two_processes_at_once_the_later_one_stops(encoder, tmp_path):
    test = tones(tmp_path, "test", 6)
    done = []

    def other():
        if not done:
            done.append(1)
            made = Evaluation(
                tmp_path / "out", test, [GaussianNoise()], [CkaProbe()], progress=False
            )
            made.run(features_in(encoder, True))

    evaluation = Evaluation(
        tmp_path / "out", test, [Meanwhile(other=other)], [CkaProbe()], progress=False
    )
    with pytest.raises(
        MixedResultsError, match="in bfloat16, and this is float32: give --bf16 true"
    ):
        evaluation.run(features_in(encoder, False))
    cells = list(read_cells(tmp_path / "out" / "cells"))
    assert {cell.about["precision"] for cell in cells} == {"bfloat16"}
    mixed = [*cells, *(replace(one, key=one.key | {"encoder": "x"}) for one in cells)]
    with pytest.raises(MixedResultsError, match="are of several weights, precisions or inputs"):
        write_results(mixed, tmp_path / "results")
    for one in mixed[len(cells) :]:
        one.write(tmp_path / "out" / "cells")
    for bf16 in (True, False):
        with pytest.raises(MixedResultsError, match="are of several weights, precisions or inputs"):
            evaluation.run(features_in(encoder, bf16))
    two = [*cells, replace(cells[0], encoder="b", about=cells[0].about | {"precision": "float32"})]
    text = write_results(two, tmp_path / "results")
    assert "different precisions (bfloat16: tiny; float32: b)" in text


def decide(folder, fast, barrier, found):
    precision_module.has_fast_bfloat16 = lambda device: fast
    barrier.wait()
    found.put(folder_precision(folder, None, "cpu"))


def test_all_processes_of_a_folder_take_the_precision_of_the_first(tmp_path, monkeypatch, caplog):
    context = multiprocessing.get_context("fork")
    for number in range(5):
        folder, barrier, found = tmp_path / str(number), context.Barrier(4), context.Queue()
        jobs = [
            context.Process(target=decide, args=(folder, fast, barrier, found))
            for fast in (True, False) * 2
        ]
        for job in jobs:
            job.start()
        said = {found.get(timeout=60) for _ in jobs}
        for job in jobs:
            job.join()
        assert len(said) == 1 and [file.name for file in folder.iterdir()] == [PRECISION_FILE]
    (first,) = said
    monkeypatch.setattr(precision_module, "has_fast_bfloat16", lambda device: not first)
    with caplog.at_level(logging.INFO):
        assert folder_precision(folder, None, "cpu") is first
    assert f"--bf16 {str(not first).lower()} or another folder changes it" in caplog.text
    assert folder_precision(folder, not first, "cpu") is (not first)  # what is asked for counts
    other = tmp_path / "other"
    assert folder_precision(other, first, "cpu") is first  # and is followed
    assert folder_precision(other, None, "cpu") is first
    (folder / PRECISION_FILE).write_text("{")
    with pytest.raises(ValueError, match="is damaged .*: remove it, or give --bf16"):
        folder_precision(folder, None, "cpu")


class Huge(Counted):
    """Features beyond half precision in the only layer of one utterance."""

    factor = 1e6

    def __call__(self, waveform):
        found = super().__call__(waveform)
        return found * self.factor if self.calls == 3 else found


def test_features_beyond_half_precision_are_named_and_can_be_kept(tmp_path):
    test = tones(tmp_path, "test", 6)
    sentence = r"layer 0 of utterance 2 holds values up to .*, more than float16 holds \(65504\)"
    with pytest.raises(ValueError, match=sentence):
        units_of(tmp_path / "out", test, Huge())
    whole = units_of(tmp_path / "out", test, Huge(), dtype=torch.float32)
    assert len(whole.cells()) == 1
    broken = Huge()
    broken.factor = float("nan")
    with pytest.raises(ValueError, match="layer 0 of utterance 2 holds values that are no finite"):
        units_of(tmp_path / "other", test, broken, dtype=torch.float32)
