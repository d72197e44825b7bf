"""Encoders through conditions and probes: known figures, and runs that are stopped and go on."""

import json
import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hf_rspin.evaluation import (
    CkaProbe,
    Evaluation,
    EvaluationSet,
    GaussianNoise,
    GeometryProbe,
    Metric,
    PhoneRecognition,
    PretrainedEncoderFeatures,
    Probe,
    ProbeArguments,
    SpeakerIdentification,
    UnitProbe,
    to_table,
)
from hf_rspin.evaluation.probes import layer_rows
from hf_rspin.evaluation.shards import short_names

from .corpora import Counted, FrameStatistics, loud_and_soft, tones

QUICK = ProbeArguments(num_updates=80, batch_size=8, evaluations=4, learning_rate=1e-2)


@pytest.fixture
def corpora(tmp_path):
    return tones(tmp_path, "train", 24), tones(tmp_path, "test", 12)


@dataclass(frozen=True)
class Killed(GaussianNoise):
    """A condition in which the process is stopped."""

    at: str = ""

    def __call__(self, waveform, utterance):
        if utterance == self.at:
            raise KeyboardInterrupt
        return super().__call__(waveform, utterance)


def per_layer():
    """Speakers per layer, without the probe of all layers, which is trained for longer."""
    return SpeakerIdentification(all_layers=False)


def probes():
    return [PhoneRecognition(QUICK), CkaProbe(), per_layer()]


def evaluate(tmp_path, corpora, conditions, made=None):
    train, test = corpora
    return Evaluation(tmp_path / "out", test, conditions, made or probes(), train, progress=False)


def number(evaluation, metric, condition):
    table = to_table(evaluation.cells())
    found = table[(table["metric"] == metric) & (table["condition"] == condition)]
    return found["value"].tolist()


def test_everything_is_measured_once(corpora, tmp_path):
    train, test = corpora
    evaluation = evaluate(tmp_path, corpora, [GaussianNoise(-5.0)])
    encoder_features = Counted()
    evaluation.run(encoder_features)
    assert encoder_features.calls == len(train) + 2 * len(test)
    (clean,), (noisy,) = (number(evaluation, "phone_error_rate", c) for c in ("clean", "gaussian"))
    assert clean < 0.1 < noisy
    assert 0 < number(evaluation, "cka_debiased", "gaussian")[0] < 0.99
    assert number(evaluation, "cka_debiased", "clean") == []
    assert number(evaluation, "speaker_accuracy", "clean") == [1]
    assert number(evaluation, "layer_weight", "clean") == [1]
    assert not (tmp_path / "out" / "features" / encoder_features.fingerprint()).exists()

    more = evaluate(tmp_path, corpora, [GaussianNoise(-5.0), GaussianNoise(40.0, name="faint")])
    before = {cell.condition: cell for cell in more.cells() if cell.probe == "pr"}
    more.run(encoder_features)
    assert encoder_features.calls == len(train) + 4 * len(test)  # the probe came from its file
    after = {cell.condition: cell for cell in more.cells() if cell.probe == "pr"}
    assert after["faint"].details["errors"] == after["clean"].details["errors"]
    assert after["gaussian"] == before["gaussian"]
    more.run(encoder_features)
    assert encoder_features.calls == len(train) + 4 * len(test)


def test_a_run_killed_in_a_condition_goes_on_with_that_condition(corpora, tmp_path):
    train, test = corpora
    encoder_features = Counted()

    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, corpora, [Killed(at=test.ids[7])]).run(encoder_features)
    assert encoder_features.calls <= len(train) + 2 * len(test) - 1
    encoder_features.calls = 0
    evaluation = evaluate(tmp_path, corpora, [GaussianNoise()])
    assert {cell.condition for cell in evaluation.cells()} == {"clean"}
    evaluation.run(encoder_features)
    assert encoder_features.calls == len(test)  # neither features nor the probe were made again
    whole = evaluate(tmp_path / "other", corpora, [GaussianNoise()])
    whole.run(Counted())
    assert [cell.rows for cell in whole.cells()] == [cell.rows for cell in evaluation.cells()]


def test_other_settings_utterances_and_conditions_are_other_cells(corpora, tmp_path):
    train, test = corpora
    encoder_features = Counted()
    evaluate(tmp_path, corpora, [GaussianNoise(0.0)], [CkaProbe()]).run(encoder_features)

    def finished(conditions, made, some=(train, test)):
        return len(evaluate(tmp_path, some, conditions, made).cells())

    assert finished([GaussianNoise(0.0)], [CkaProbe()]) == 1
    assert finished([GaussianNoise(5.0)], [CkaProbe()]) == 0
    assert finished([GaussianNoise(0.0, seed=1)], [CkaProbe()]) == 0
    assert finished([GaussianNoise(0.0)], [CkaProbe(seed=1)]) == 0
    reversed_test = test.select(range(len(test))[::-1])  # as many, in another order
    assert finished([GaussianNoise(0.0)], [CkaProbe()], (train, reversed_test)) == 0


def test_features_of_a_stopped_run_are_not_taken_for_those_of_other_utterances(corpora, tmp_path):
    train, test = corpora

    stopped = evaluate(tmp_path, corpora, [Killed(at=test.ids[0])], [per_layer()])
    with pytest.raises(KeyboardInterrupt):
        stopped.run(Counted())
    mixed = test.select([0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 10, 11])  # as many
    evaluation = evaluate(tmp_path, (train, mixed), [], [per_layer()])
    evaluation.run(Counted())
    alone = evaluate(tmp_path / "alone", (train, mixed), [], [per_layer()])
    alone.run(Counted())
    assert evaluation.cells()[0].rows == alone.cells()[0].rows


def test_two_encoders_of_one_name_are_refused_and_one_under_two_names_is_measured(
    corpora, tmp_path
):
    evaluation = evaluate(tmp_path, corpora, [], [per_layer()])
    evaluation.run(Counted(name="a"))
    with pytest.raises(ValueError, match="'a' with other weights.*another name"):
        evaluation.run(Counted(context=1, name="a"))
    evaluation.run(Counted(context=1, name="<b> $\\undefined$"))
    assert [cell.encoder for cell in evaluation.cells()] == ["a", "<b> $\\undefined$"]
    with pytest.raises(ValueError, match="probes .* expected each once"):
        evaluate(tmp_path, corpora, [], [CkaProbe(), CkaProbe()])
    with pytest.raises(ValueError, match="conditions .* expected each once"):
        evaluate(tmp_path, corpora, [GaussianNoise(), GaussianNoise()])


def test_without_labels_what_needs_none_is_measured(corpora, tmp_path, caplog, encoder):
    _, test = corpora
    bare = EvaluationSet(test.ids, test.audio)
    made = [*probes(), UnitProbe(4), GeometryProbe()]
    with caplog.at_level(logging.INFO):
        evaluation = Evaluation(tmp_path / "out", bare, [GaussianNoise()], made, progress=False)
    evaluation.run(PretrainedEncoderFeatures(encoder, "tiny"))
    table = to_table(evaluation.cells())
    noisy = table[table["condition"] == "gaussian"]
    assert set(noisy["metric"]) == {
        "cka", "cka_debiased", "unit_agreement", "unit_perplexity", "units_used", "alignment",
        "uniformity", "effective_rank",
    }  # fmt: skip
    assert (noisy.groupby("metric").size() == 3).all() and noisy["value"].notna().all()
    assert [text.split(" is left")[0] for text in evaluation.left_out] == [
        "Phone recognition", "Speaker identification", "Phone information",
        "Nothing else is there to learn from: what learns without labels (units) learns on the "
        "test utterances that it is measured on.",
    ]  # fmt: skip
    assert "no speaker names" in caplog.text


def test_figures_that_are_known(tmp_path):
    train, test = loud_and_soft(tmp_path, "a"), loud_and_soft(tmp_path, "bb")
    speakers = SpeakerIdentification("train", all_layers=False)
    made = [CkaProbe(), speakers, UnitProbe(6), GeometryProbe()]
    evaluation = Evaluation(
        tmp_path / "out", test, [GaussianNoise(-10), GaussianNoise(200, name="none")], made,
        train, torch.float32, num_workers=2, progress=False,
    )  # fmt: skip
    evaluation.run(FrameStatistics())

    def per_layer(metric, condition):
        return number(evaluation, metric, condition)

    assert per_layer("cka_debiased", "none") == pytest.approx([1, 1], abs=1e-5)
    assert per_layer("cka_debiased", "gaussian")[0] < 0.9
    assert per_layer("cka_debiased", "gaussian")[1] == pytest.approx(1, abs=1e-5)
    assert per_layer("unit_agreement", "none")[0] > 0.99
    assert per_layer("unit_agreement", "gaussian")[0] < 0.7
    assert per_layer("unit_agreement", "gaussian")[1] == 1  # ignores the waveform
    assert per_layer("alignment", "gaussian")[1] == 0 < per_layer("alignment", "gaussian")[0]
    speakers, phones = per_layer("speaker_accuracy", "clean"), per_layer("pnmi", "clean")
    assert speakers[0] == 1 and speakers[1] < 0.9
    assert phones[0] > 0.4 and phones[1] < 0.1


def test_training_audio_is_encoded_only_where_a_probe_needs_it(corpora, tmp_path):
    train, test = corpora
    encoder_features = Counted()
    evaluate(tmp_path, corpora, [GaussianNoise()], [CkaProbe(), GeometryProbe()]).run(
        encoder_features
    )
    assert encoder_features.calls == 2 * len(test)
    encoder_features.calls = 0
    evaluate(tmp_path, corpora, [], [UnitProbe(4, max_utterances=6)]).run(encoder_features)
    assert encoder_features.calls == 6 + len(test)


def test_a_probe_is_one_class(corpora, tmp_path):
    class Loudness(Probe):
        name = "loudness"
        metrics = (Metric("norm", "Size of frames", "mean norm", "Mean L2 norm of frames."),)

        def begin(self, condition):
            self.norms = []

        def update(self, index, features):
            self.norms.append(features.norm(dim=-1).mean(1))

        def rows(self):
            return layer_rows("norm", torch.stack(self.norms).mean(0))

    evaluation = evaluate(tmp_path, corpora, [GaussianNoise(-20.0)], [Loudness()])
    encoder_features = Counted()
    evaluation.run(encoder_features)
    test = corpora[1]
    expected = np.mean([
        encoder_features(test.read(i)).norm(dim=-1).mean().item() for i in range(len(test))
    ])  # fmt: skip
    assert number(evaluation, "norm", "clean")[0] == pytest.approx(expected, rel=1e-3)
    assert number(evaluation, "norm", "gaussian")[0] != pytest.approx(expected, rel=0.05)


def test_a_cell_is_plain_json_and_a_number_that_is_none_comes_back_as_nan(corpora, tmp_path):
    class Nothing(Probe):
        name, metrics = "nothing", ()

        def update(self, index, features):
            pass

        def rows(self):
            return layer_rows("nothing", [float("nan"), 1.0])

    evaluation = evaluate(tmp_path, corpora, [], [Nothing()])
    evaluation.run(Counted())
    (file,) = (tmp_path / "out" / "cells").iterdir()
    content = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert [row["value"] for row in content["rows"]] == [None, 1.0]
    values = to_table(evaluation.cells())["value"]
    assert np.isnan(values[0]) and values[1] == 1


def test_default_names_tell_folders_of_the_same_name_apart():
    assert short_names(["runs/a", "log-mel:3", "owner/model"]) == ["a", "log-mel:3", "model"]
    assert short_names(["/runs/a/model", "runs/b/model/"]) == ["a-model", "b-model"]
    assert short_names(["model", "../x/model"]) == ["model", "x-model"]
    assert short_names([]) == []
    with pytest.raises(ValueError, match="twice"):
        short_names(["runs/a", "runs/a"])


def test_an_encoder_that_is_called_otherwise_today_is_not_measured_again(corpora, tmp_path):
    encoder = Counted()
    evaluate(tmp_path, corpora, [GaussianNoise(0.0)], [CkaProbe()]).run(encoder)
    renamed = Counted()
    renamed.name = "parent-" + encoder.name
    evaluation = evaluate(tmp_path, corpora, [GaussianNoise(0.0)], [CkaProbe()])
    evaluation.run(renamed)
    assert renamed.calls == 0
    assert {cell.encoder for cell in evaluation.cells()} == {renamed.name}
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 1


def test_cells_know_the_updates_of_their_probes(corpora, tmp_path):
    evaluation = evaluate(tmp_path, corpora, [GaussianNoise()], [PhoneRecognition(QUICK)])
    evaluation.run(Counted())
    made = {cell.condition: cell.about["cost"]["updates"] for cell in evaluation.cells()}
    assert made == {"clean": 80, "gaussian": 0}


def test_a_probe_that_measures_none_of_the_conditions_is_named(corpora, tmp_path):
    (said,) = evaluate(tmp_path, corpora, [], [CkaProbe(), GeometryProbe()]).left_out
    assert said.startswith("cka is left out") and "add others" in said
