"""Unit extraction: equal to one utterance at a time, and unharmed by bad files and kills."""

import multiprocessing
import os
import signal

import datasets
import numpy as np
import pytest
import soundfile
import torch
from transformers import SEWDConfig, SEWDModel

from hf_rspin.audio import AudioError, num_frames, read_audio
from hf_rspin.data import SkippedFiles
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.units import (
    FrameLabels,
    KMeans,
    UnitExtractor,
    codebook_units,
    extract_units,
    kmeans_units,
    layer_features,
    mfcc,
    mfcc_features,
    windows,
)

SAMPLES = [9000, 4000, 9100, 6000, 9000, 4100, 12345, 400]


def write_corpus(folder, lengths=SAMPLES):
    rng = np.random.default_rng(0)
    files = [folder / f"{index}.wav" for index in range(len(lengths))]
    for file, length in zip(files, lengths, strict=True):
        soundfile.write(file, 0.1 * rng.standard_normal(length), 16_000)
    return as_corpus(files, lengths)


def as_corpus(files, lengths):
    columns = {
        "id": [file.stem for file in files],
        "audio": [str(file) for file in files],
        "duration": [length / 16_000 for length in lengths],
    }
    corpus = datasets.Dataset.from_dict(columns)
    return corpus.cast_column("audio", datasets.Audio(decode=False))


def loudness_units(calls=None, die_after=None, provenance=None):
    """Five units from the level of each frame; counts batches, and kills its process."""
    calls = [] if calls is None else calls

    def extract(waveforms):
        if die_after is not None and len(calls) == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(waveforms.shape)
        frames = np.lib.stride_tricks.sliding_window_view(waveforms, 400, axis=1)[:, ::320]
        return (1e4 * frames.std(axis=2)).astype(np.int64) % 5  # (batch, frames)

    return UnitExtractor(extract, 5, provenance or {"kind": "loudness"})


def same(left, right):
    assert list(left) == list(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = RSpinHubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        projection_size=8, codebook_size=24,
    )  # fmt: skip
    return RSpinHubertModel(config)


def test_codebook_units_equal_a_forward_of_each_utterance(tmp_path, model):
    corpus = write_corpus(tmp_path)
    units = extract_units(codebook_units(model), corpus, progress=False)
    assert units.num_labels == 24 and units.provenance["kind"] == "codebook"
    assert units.ids == corpus["id"]
    found = set()
    for name, length in zip(corpus["id"], SAMPLES, strict=True):
        waveform = read_audio(tmp_path / f"{name}.wav")
        waveform = waveform[: 320 * num_frames(length) + 80]  # what the frames see
        with torch.no_grad():
            expected = model.eval()(torch.from_numpy(waveform)[None]).code_logits[0].argmax(-1)
        np.testing.assert_array_equal(units[name], expected)
        found |= set(expected.tolist())
    assert len(found) > 1


def test_normalized_input_does_not_depend_on_the_level(model):
    wave = np.random.default_rng(1).standard_normal((1, 4000)).astype("f4")
    extractor = codebook_units(model, normalize=True)
    np.testing.assert_array_equal(extractor.extract(0.01 * wave + 0.1), extractor.extract(wave))
    assert extractor.provenance != codebook_units(model).provenance


def test_provenance_follows_the_weights(model):
    before = codebook_units(model).provenance
    assert codebook_units(model).provenance == before
    with torch.no_grad():
        next(model.parameters())[0] += 1
    after = codebook_units(model).provenance
    with torch.no_grad():
        next(model.parameters())[0] -= 1
    assert before["weights"] != after["weights"]


def test_kmeans_units_are_the_nearest_centres(tmp_path):
    corpus = write_corpus(tmp_path)
    features = [mfcc(read_audio(tmp_path / f"{name}.wav")) for name in corpus["id"]]
    kmeans = KMeans(6, source="mfcc").fit_stream([np.concatenate(features)])
    units = extract_units(kmeans_units(mfcc_features(), kmeans), corpus, progress=False)
    for name, feature in zip(corpus["id"], features, strict=True):
        np.testing.assert_array_equal(units[name], kmeans.predict(feature))
    with pytest.raises(ValueError, match="fit_stream"):
        kmeans_units(mfcc_features(), KMeans(6))


@pytest.mark.parametrize("samples", [6000, 6400])  # 18 and 19 frames
def test_layers_that_see_half_the_frames_give_one_feature_per_frame(samples):
    sizes = {"conv_dim": (8,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
             "conv_stride": (5, 2, 2, 2, 2, 2, 2), "squeeze_factor": 2, "hidden_size": 16,
             "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
             "num_conv_pos_embedding_groups": 2}  # fmt: skip
    model = SEWDModel(SEWDConfig(**sizes)).eval()
    wave = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    features = layer_features(model, 1)(wave)
    with torch.inference_mode():
        output = model(torch.from_numpy(wave)[None], output_hidden_states=True)
    assert features.shape == (num_frames(samples), 16)
    pairs = output.hidden_states[1][0].numpy()
    for frame in range(2 * len(pairs)):
        np.testing.assert_allclose(features[frame], pairs[frame // 2], atol=1e-6)
    assert not features[2 * len(pairs) :].any()


def test_batches_hold_whole_frames_of_equal_number_up_to_the_duration(tmp_path):
    calls = []
    corpus = write_corpus(tmp_path, [4000] * 5 + [4100, 4239, 9000])  # 12 frames, and 27
    extract_units(loudness_units(calls), corpus, batch_seconds=0.8, progress=False)
    assert sorted(calls) == [(1, 3920), (1, 8720), (3, 3920), (3, 3920)]


def test_bad_files_are_skipped_with_one_warning_each(tmp_path, caplog):
    write_corpus(tmp_path)
    (tmp_path / "1.wav").write_bytes(b"not audio")
    (tmp_path / "2.wav").unlink()
    soundfile.write(tmp_path / "3.wav", np.zeros(6000), 16_000)
    soundfile.write(tmp_path / "4.wav", np.ones(399) * np.linspace(0, 0.1, 399), 16_000)
    corpus = as_corpus([tmp_path / f"{i}.wav" for i in range(8)], SAMPLES)
    skipped = SkippedFiles()
    units = extract_units(loudness_units(), corpus, skipped=skipped, progress=False)
    assert units.ids == ["0", "5", "6", "7"]
    assert units.provenance["skipped_utterances"] == 4 == len(skipped) == len(caplog.records)
    for bad in range(1, 5):
        assert sum(f"{bad}.wav" in record.message for record in caplog.records) == 1
    with pytest.raises(AudioError, match="wav"):
        extract_units(loudness_units(), corpus, skipped=SkippedFiles(strict=True), progress=False)
    with pytest.raises(AudioError, match="wav"):
        extract_units(loudness_units(), corpus, strict=True, progress=False)
    bad = corpus.select([1, 2])
    with pytest.raises(ValueError, match="No utterance"):
        extract_units(loudness_units(), bad, progress=False)


def test_a_killed_extraction_goes_on(tmp_path):
    (tmp_path / "audio").mkdir()
    corpus, folder = write_corpus(tmp_path / "audio"), tmp_path / "units"
    settings = {"shard_seconds": 1.0, "batch_seconds": 0.1, "progress": False}
    calls = []
    whole = extract_units(loudness_units(calls), corpus, tmp_path / "whole", **settings)
    assert len(calls) == len(SAMPLES)

    fork = multiprocessing.get_context("fork")
    dying = loudness_units(die_after=5)
    process = fork.Process(target=extract_units, args=(dying, corpus, folder), kwargs=settings)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not folder.exists()

    rest = []
    resumed = extract_units(loudness_units(rest), corpus, folder, **settings)
    assert 3 <= len(rest) < len(SAMPLES)  # at most the shard under work is done again
    same(resumed, whole)
    same(FrameLabels.load(folder), whole)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audio", "units", "whole"]


def test_partial_results_of_another_extractor_are_not_used(tmp_path, caplog):
    (tmp_path / "audio").mkdir()
    corpus, folder = write_corpus(tmp_path / "audio"), tmp_path / "units"
    wrong = UnitExtractor(
        lambda waveforms: np.full((len(waveforms), num_frames(waveforms.shape[1])), 4)
        if waveforms.shape[1] < 9000 else np.zeros((1, 1)), 5, {"kind": "other"},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"shape \(1,\), expected \(28,\)"):
        extract_units(wrong, corpus, folder, shard_seconds=1.0, progress=False)
    assert list((tmp_path / "units.partial").glob("shard_*.npz"))
    units = extract_units(loudness_units(), corpus, folder, shard_seconds=1.0, progress=False)
    assert "starting again" in caplog.text
    same(units, extract_units(loudness_units(), corpus, progress=False))


def test_foreign_files_and_double_ids_are_refused_before_any_work(tmp_path):
    calls = []
    corpus = write_corpus(tmp_path)
    with pytest.raises(ValueError, match="'0' comes twice"):
        extract_units(loudness_units(calls), datasets.concatenate_datasets([corpus, corpus]))
    (tmp_path / "units.partial").mkdir()
    (tmp_path / "units.partial" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="notes.txt"):
        extract_units(loudness_units(calls), corpus, tmp_path / "units", progress=False)
    assert (tmp_path / "units.partial" / "notes.txt").is_file() and not calls


def test_a_long_recording_has_one_unit_per_frame(tmp_path, model, monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", 300)
    corpus = write_corpus(tmp_path, [16_000 * 8])
    widths = []
    hook = model.hubert.encoder.layers[0].register_forward_pre_hook(
        lambda module, args, kwargs: widths.append((args or [kwargs["hidden_states"]])[0].shape[1]),
        with_kwargs=True,
    )
    units = extract_units(codebook_units(model), corpus, progress=False)
    features = layer_features(model.hubert, 1)(read_audio(tmp_path / "0.wav"))
    hook.remove()
    frames = num_frames(16_000 * 8)
    assert len(units["0"]) == frames and features.shape == (frames, 32)
    assert max(widths) <= 300
