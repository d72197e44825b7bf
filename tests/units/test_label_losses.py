"""Losses of frame labels: against closed forms, without a view of themselves, and gone on with."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.audio import AudioError, num_frames, read_audio
from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.units import FrameLabels, layer_features
from hf_rspin.units.label_losses import label_losses
from hf_rspin.units.linear_readout import LinearReadout, fit_readout
from hf_rspin.utils import write_json

KEY = {"weights": "a"}


def test_what_features_tell_costs_nothing_and_what_they_do_not_its_entropy():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 4000, p=[0.5, 0.25, 0.25])
    telling = np.eye(3, dtype=np.float32)[labels] + rng.normal(0, 0.01, (4000, 3))
    assert fit_readout(telling, labels, 3).losses(telling, labels).mean() < 0.05
    silent = rng.normal(size=(4000, 3)).astype(np.float32)
    found = fit_readout(silent, labels, 3).losses(silent, labels).mean()
    assert found == pytest.approx(1.5 * np.log(2), abs=0.02)  # nats


def test_losses_are_cross_entropy_and_the_generator_is_left_alone():
    rng = np.random.default_rng(1)
    weight, bias, mean, deviation = (
        torch.from_numpy(rng.uniform(0.5, 2, shape).astype(np.float32))
        for shape in ((4, 5), (4,), (5,), (5,))
    )
    features, labels = rng.normal(size=(3000, 5)), rng.integers(0, 4, 3000)
    logits = (features - mean.numpy()) / deviation.numpy() @ weight.numpy().T + bias.numpy()
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(3000), labels]
    found = LinearReadout(weight, bias, mean, deviation).losses(features, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = (fit_readout(features, labels, 4, seed=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(first.weight, second.weight)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("hf_rspin.units.linear_readout.UPDATES", 60)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    config = HubertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=24, conv_dim=(8,) * 7, num_conv_pos_embeddings=8,
                          num_conv_pos_embedding_groups=2)  # fmt: skip
    return HubertModel(config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones, low or high; one of noise; and one that is damaged."""
    place, rng = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for number in range(16):
        time = np.arange(8000 + 900 * number) / 16_000
        wave = np.sin(2 * np.pi * (200, 2500)[number % 2] * time) + rng.normal(0, 0.01, len(time))
        soundfile.write(place / f"u{number:02d}.wav", 0.3 * wave, 16_000)
    soundfile.write(place / "v.wav", 0.1 * rng.normal(size=12_000), 16_000)
    return place


@pytest.fixture(scope="module")
def job(folder):
    """The corpus, and labels that say how high a tone is, wrongly for one; half a second is out."""
    corpus = load_corpus(folder)
    labels = {}
    for key, cell in zip(corpus["id"], corpus["audio"], strict=True):
        high = int(key[1:] or 0) % 2
        own = np.full(num_frames(len(read_audio(cell))), high if key != "u07" else 0)
        own[:25] = -100 if key == "u03" else own[:25]
        labels[key] = own
    return corpus, FrameLabels.from_sequences(labels, 2)


def run(encoder, job, file, ranks=None, key=KEY, **options):
    corpus, labels = job
    ranks = np.arange(len(corpus)) if ranks is None else ranks
    skipped = options.pop("skipped", SkippedFiles())
    return label_losses(layer_features(encoder, -1), corpus, labels, ranks, file, key, skipped,
                        progress=False)  # fmt: skip


def test_the_utterance_with_wrong_labels_is_predicted_worst(encoder, job, tmp_path):
    order = np.random.default_rng(5).permutation(17)
    losses = run(encoder, job, tmp_path / "losses.json", order)
    tones = {key: value for key, value in losses.items() if key != "v"}
    assert max(tones, key=tones.get) == "u07" and losses["u07"] > 1
    assert sum(value < 0.5 for value in tones.values()) >= 12
    assert json.loads((tmp_path / "losses.json").read_text()) == {
        "made_from": KEY, "losses": losses
    }  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_neither_padding_nor_ignored_frames_count(encoder, job, tmp_path, monkeypatch):
    """Alone in a batch every utterance has the loss that it has among others."""
    together = run(encoder, job, tmp_path / "a.json")
    monkeypatch.setattr("hf_rspin.units.label_losses.BATCH_SECONDS", 0.1)
    alone = run(encoder, job, tmp_path / "b.json")
    # the fit is of float16 features and carries their rounding on: 0.005 on a processor with AVX2
    assert together == pytest.approx(alone, abs=1e-2)
    corpus, labels = job
    other = {key: np.where(labels[key] < 0, -100, 1 - labels[key]) for key in labels}
    flipped = run(encoder, (corpus, FrameLabels.from_sequences(other, 2)), tmp_path / "c.json")
    assert flipped["u03"] == pytest.approx(together["u03"], abs=2e-2)  # ignored in both


@pytest.mark.usefixtures("quick")
def test_no_utterance_is_judged_by_what_was_fitted_on_it(encoder, job, tmp_path):
    """Labels of noise in one half that nothing tells: in the other they would be learned."""
    corpus, labels = job
    rng = np.random.default_rng(0)
    ranks = np.arange(17)  # rows of even place are fitted on together
    changed = {key: labels[key] for key in labels}
    changed[corpus["id"][0]] = rng.integers(0, 2, len(labels[corpus["id"][0]]))
    first = run(encoder, job, tmp_path / "a.json", ranks)
    second = run(encoder, (corpus, FrameLabels.from_sequences(changed, 2)), tmp_path / "b.json",
                 ranks)  # fmt: skip
    for row, key in enumerate(corpus["id"]):
        if row % 2 == 0 and row > 0:  # judged by the half in which nothing changed
            assert first[key] == second[key]
    assert any(first[key] != second[key] for key in corpus["id"][1::2])


@pytest.mark.usefixtures("quick")
def test_a_killed_run_goes_on_and_others_begin_anew(encoder, job, tmp_path, monkeypatch):
    file = tmp_path / "losses.json"
    whole = run(encoder, job, tmp_path / "whole.json")
    monkeypatch.setattr("hf_rspin.units.label_losses.BLOCK_SECONDS", 2.0)
    real, written = write_json, []

    def killed(path, content):
        real(path, content)
        written.append(len(content["losses"]))
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("hf_rspin.units.label_losses.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        run(encoder, job, file)
    known = json.loads(file.read_text())["losses"]
    assert 0 < len(known) < 17
    known = {key: value + 100 for key, value in known.items()}  # to see that they are not redone
    real(file, {"made_from": KEY, "losses": known})
    monkeypatch.setattr("hf_rspin.units.label_losses.write_json", real)
    found = run(encoder, job, file)
    assert found == pytest.approx(whole | known, abs=2e-3)
    again = run(encoder, job, file, key={"weights": "b"})
    assert again == pytest.approx(whole, abs=2e-3)


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_read_has_no_loss(encoder, job, folder, tmp_path):
    place, labels = shutil.copytree(folder, tmp_path / "speech"), job[1]
    corpus = load_corpus(place)
    (place / "u02.wav").write_bytes(b"RIFF")
    short = {key: labels[key][: 20 if key == "u04" else None] for key in labels}
    skipped = SkippedFiles()
    found = run(encoder, (corpus, FrameLabels.from_sequences(short, 2)), tmp_path / "l.json",
                skipped=skipped)  # fmt: skip
    assert {key for key, loss in found.items() if loss is None} == {"u02", "u04"}
    reasons = " ".join(skipped.reasons.values())
    assert len(skipped) == 2 and "has 36 frames but 20 labels: make the pseudo-labels" in reasons
    with pytest.raises(AudioError, match="u02.wav"):
        run(encoder, (corpus, labels), tmp_path / "m.json", skipped=SkippedFiles(strict=True))
