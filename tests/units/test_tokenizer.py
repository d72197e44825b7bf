"""Units with times: against naive references, one by one, saved and loaded."""

import io
import json
from itertools import groupby
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.audio import AudioError, num_frames
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.units import (
    AcousticPieces,
    KMeans,
    UnitSequence,
    UnitTokenizer,
    extract_units,
    fit_kmeans,
    layer_features,
    mfcc,
    windows,
)

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
HEADS = {"projection_size": 8, "codebook_size": 12}
LENGTHS = [9000, 4000, 9100, 300, 6000, 9000, 4100, 12345, 0, 400]
SPIN = {
    "hubert": (RSpinHubertModel, RSpinHubertConfig),
    "wavlm": (RSpinWavLMModel, RSpinWavLMConfig),
}


def build(family="hubert", **options):
    torch.manual_seed(0)
    model_class, config_class = SPIN[family]
    return model_class(config_class(**(SIZES | HEADS | options))).eval()


def make_waveforms(lengths=LENGTHS):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def learn_pieces(tokenizer, vocab_size=40):
    results = tokenizer(make_waveforms([16_000] * 4))
    return AcousticPieces.train([r.units for r in results], vocab_size, progress=False)


def same(left, right):
    for one, other in zip(left, right, strict=True):
        for name in ("ids", "starts", "ends", "frame_ids", "units"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_the_runs_of_frames_and_tile_the_time(seed):
    rng = np.random.default_rng(seed)
    units = np.repeat(rng.integers(0, 4, 30), rng.integers(1, 6, 30))
    found = UnitSequence.from_frames(units)
    runs = [(unit, len(list(run))) for unit, run in groupby(units.tolist())]
    assert found.ids.tolist() == [unit for unit, _ in runs] and len(found) == len(runs)
    frame = 0
    for (unit, length), start, end in zip(runs, found.starts, found.ends, strict=True):
        assert start == pytest.approx(0.02 * frame)
        assert end == pytest.approx(0.02 * (frame + length))
        assert set(found.frame_ids[frame : frame + length]) == {unit}
        frame += length
    assert found.starts[0] == 0 and (found.starts[1:] == found.ends[:-1]).all()
    np.testing.assert_array_equal(found.frame_ids, units)
    np.testing.assert_array_equal(found.units, units)


@pytest.mark.parametrize("seed", range(5))
def test_segments_of_pieces_spell_the_units(seed):
    rng = np.random.default_rng(seed)
    corpus = [np.repeat(rng.integers(0, 3, 60), rng.integers(1, 4, 60)) for _ in range(6)]
    pieces = AcousticPieces.train(corpus[:4], 25, progress=False)
    for units in corpus:
        found = UnitSequence.from_frames(units, pieces)
        np.testing.assert_array_equal(found.frame_ids, pieces.encode(units))
        np.testing.assert_array_equal(found.frame_ids, np.repeat(found.ids, lengths(found)))
        spelt = [unit for i in found.ids if i >= 0 for unit in pieces.label_units(i)]
        if (found.ids >= 0).all():
            assert spelt == [unit for unit, _ in groupby(units.tolist())]


def lengths(sequence):
    return np.rint((sequence.ends - sequence.starts) / 0.02).astype(int)


def test_the_same_piece_twice_in_a_row_is_two_segments():
    pieces = AcousticPieces(np.array([0, 1, 5]), np.array([[0, 1]]), np.array([0, 1, 3]))
    units = np.array([0, 0, 1, 0, 1, 1, 0, 5, 5, 7])
    found = UnitSequence.from_frames(units, pieces)
    assert found.ids.tolist() == [2, 2, 0, -100, -100]  # 5 has no label of its own, 7 is unknown
    assert lengths(found).tolist() == [3, 3, 1, 2, 1]
    assert found.text() == "2 2 0 <unk> <unk>"
    assert found.text("<{}>", "", "?") == "<2><2><0>??"


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
@pytest.mark.parametrize("with_pieces", [False, True])
def test_a_batch_equals_one_by_one_and_the_model(family, with_pieces):
    model = build(family)
    tokenizer = UnitTokenizer(model)
    if with_pieces:
        tokenizer.use_pieces(learn_pieces(tokenizer))
    waveforms = make_waveforms()
    batch = tokenizer(waveforms)
    same(batch, [tokenizer(waveform) for waveform in waveforms])
    same(batch, tokenizer((wave for wave in waveforms), batch_seconds=0.3))
    for waveform, found in zip(waveforms, batch, strict=True):
        frames = num_frames(len(waveform))
        assert len(found.units) == frames == lengths(found).sum()
        assert found.ids.max(initial=0) < tokenizer.vocab_size
        if frames > 0:
            assert found.ends[-1] == pytest.approx(0.02 * frames)
            values = torch.from_numpy(waveform[: 320 * frames + 80])[None]
            with torch.no_grad():
                expected = model(values).units[0].numpy()
            np.testing.assert_array_equal(found.units, expected)
        expected = tokenizer.pieces.encode(found.units) if with_pieces else found.units
        np.testing.assert_array_equal(found.frame_ids, expected)
    assert len({i for found in batch for i in found.ids.tolist()}) > 3


def test_a_corpus_gets_the_units_that_pseudo_labels_are_made_of(model, tmp_path):
    waveforms = make_waveforms([9000, 4000, 9100])
    files = [str(tmp_path / f"{index}.wav") for index in range(3)]
    for file, waveform in zip(files, waveforms, strict=True):
        soundfile.write(file, waveform, 16_000)
    seconds = [len(waveform) / 16_000 for waveform in waveforms]
    columns = {"id": ["a", "b", "c"], "audio": files, "duration": seconds}
    corpus = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
    tokenizer = UnitTokenizer(model)
    labels = extract_units(tokenizer.extractor, corpus, progress=False)
    for name, found in zip(labels, tokenizer(corpus["audio"]), strict=True):
        np.testing.assert_array_equal(found.units, labels[name])


def test_long_recordings_run_in_windows(model, monkeypatch):
    waveform = make_waveforms([60_000])[0]
    whole = UnitTokenizer(model)(waveform)
    monkeypatch.setattr(windows, "WINDOW", 100)
    monkeypatch.setattr(windows, "CONTEXT", 25)
    parts = UnitTokenizer(model)(waveform)
    assert len(parts.units) == len(whole.units) == num_frames(60_000)
    assert parts.ends[-1] == whole.ends[-1]


def test_every_way_to_hand_over_audio_gives_the_same(model, tmp_path):
    tokenizer = UnitTokenizer(model)
    waveform = (make_waveforms([9000])[0] * 2**15).round() / 2**15
    path = tmp_path / "speech.wav"
    soundfile.write(path, waveform, 16_000, subtype="PCM_16")
    cell = {"path": None, "bytes": path.read_bytes()}
    array = {"array": waveform.astype(np.float64), "sampling_rate": 16_000}
    ways = [path, str(path), path.read_bytes(), cell, array, torch.from_numpy(waveform),
            io.BytesIO(path.read_bytes()), waveform.tolist()]  # fmt: skip
    expected = tokenizer(waveform)
    same([expected] * len(ways), tokenizer(ways))
    assert tokenizer([]) == []


def test_other_rates_are_resampled_and_times_stay_seconds(model, tmp_path):
    tokenizer = UnitTokenizer(model)
    waveform = make_waveforms([44_100])[0]
    soundfile.write(tmp_path / "speech.wav", waveform, 44_100, subtype="FLOAT")
    found = tokenizer(waveform, sampling_rate=44_100)
    assert len(found.units) == num_frames(16_000) and found.ends[-1] == pytest.approx(0.98)
    same([found] * 2, tokenizer([
        tmp_path / "speech.wav", {"array": waveform, "sampling_rate": 44_100},
    ]))  # fmt: skip


@pytest.mark.parametrize(
    "audio, options, message",
    [
        (np.zeros((2, 9000), "f4"), {}, r"waveform 0 with shape \(2, 9000\)"),
        (np.zeros(9000, np.int16), {}, "int16; expected floats"),
        ([np.zeros(9000, "f4"), np.full(9000, np.nan, "f4")], {}, "waveform 1 holds NaN"),
        ([None], {}, "waveform 0 as NoneType"),
        ([b"no audio"], {}, "waveform 0 could not be read"),
        (np.zeros(9000, "f4"), {"sampling_rate": -1}, "sampling_rate is -1"),
        ("no/such/file.wav", {}, "no/such/file.wav could not be read"),
    ],
)
def test_what_is_no_audio_is_refused(audio, options, message, model):
    with pytest.raises(AudioError, match=message):
        UnitTokenizer(model)(audio, **options)


def test_what_cannot_be_read_may_be_left_out(model, tmp_path, caplog):
    tokenizer, waveform = UnitTokenizer(model), make_waveforms([9000])[0]
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = tokenizer([waveform, tmp_path / "broken.wav", waveform], strict=False)
    same([found[0], found[2]], [tokenizer(waveform)] * 2)
    assert found[1] is None and caplog.text.count("broken.wav could not be read") == 1
    assert tokenizer(tmp_path / "missing.wav", strict=False) is None
    with pytest.raises(AudioError, match="broken.wav"):
        tokenizer([waveform, tmp_path / "broken.wav"])


def test_a_model_in_training_mode_gives_its_units_and_stays_in_training(model):
    training = build(hidden_dropout=0.5).train()
    waveform = make_waveforms([9000])[0]
    tokenizer = UnitTokenizer(training)
    assert training.training
    same([tokenizer(waveform)], [UnitTokenizer(build())(waveform)])
    assert training.training and training.hubert.encoder.dropout.training


def test_models_that_cannot_have_units_are_refused_at_once():
    untrained = build()
    untrained.config.untrained_heads = True
    with pytest.raises(ValueError, match="never trained"):
        UnitTokenizer(untrained)
    with pytest.raises(ValueError, match="400 samples every 640"):
        UnitTokenizer(build(conv_stride=[5, 2, 2, 2, 2, 2, 4]))
    broken = build()
    with torch.no_grad():
        broken.spin_head.projection.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        UnitTokenizer(broken)(make_waveforms([9000])[0])


def test_silence_has_units(model):
    assert len(UnitTokenizer(model)(np.zeros(4000, "f4")).units) == 12
    assert len(UnitTokenizer(model, normalize=True)(np.zeros(4000, "f4")).units) == 12


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_what_was_saved_gives_the_same_units(family, tmp_path):
    tokenizer = UnitTokenizer(build(family), normalize=True)
    tokenizer.use_pieces(learn_pieces(tokenizer))
    for _ in range(2):  # the second time it replaces the first
        tokenizer.save_pretrained(tmp_path / "units")
    assert [path.name for path in tmp_path.iterdir()] == ["units"]
    assert "tmp" not in (tmp_path / "units/README.md").read_text()  # the card names its folder
    loaded = UnitTokenizer.from_pretrained(tmp_path / "units")
    assert loaded.normalize and loaded.vocab_size == tokenizer.vocab_size
    assert loaded.pieces.provenance == tokenizer.pieces.provenance
    same(loaded(make_waveforms()), tokenizer(make_waveforms()))
    assert Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "units").do_normalize
    bare = UnitTokenizer.from_pretrained(tmp_path / "units", pieces=None)
    bare.save_pretrained(tmp_path / "bare")
    assert UnitTokenizer.from_pretrained(tmp_path / "bare").pieces is None
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no unit tokenizer"):
        tokenizer.save_pretrained(tmp_path / "else")


def test_a_spin_folder_with_its_pieces_is_a_tokenizer(model, tmp_path, caplog):
    tokenizer = UnitTokenizer(model)
    pieces = learn_pieces(tokenizer)
    pieces.provenance = tokenizer.extractor.provenance
    model.save_pretrained(tmp_path / "spin")
    waveforms = make_waveforms()
    same(UnitTokenizer.from_pretrained(tmp_path / "spin")(waveforms), tokenizer(waveforms))
    pieces.save_pretrained(tmp_path / "labels/acoustic_pieces")
    given = UnitTokenizer.from_pretrained(tmp_path / "spin", pieces=tmp_path / "labels")
    for place in ("spin", "spin/acoustic_pieces"):  # beside the weights, or in a folder of its own
        pieces.save_pretrained(tmp_path / place)
        found = UnitTokenizer.from_pretrained(tmp_path / "spin")
        same(found(waveforms), given(waveforms))
    assert found.vocab_size == pieces.num_labels
    assert not [record for record in caplog.records if "tokenizer" in record.name]


def test_pieces_of_other_units_are_not_mixed_up(tmp_path, caplog):
    spin = UnitTokenizer(build())
    pieces = learn_pieces(spin)
    pieces.provenance = spin.extractor.provenance
    rspin = build(num_pseudo_labels=pieces.num_labels, codebook_size=11)
    rspin.save_pretrained(tmp_path)
    pieces.save_pretrained(tmp_path / "acoustic_pieces")
    found = UnitTokenizer.from_pretrained(tmp_path)
    assert found.pieces is None and found.vocab_size == 11
    assert "auxiliary head of this model predicts" in caplog.text
    with pytest.raises(ValueError, match="do not fit"):
        UnitTokenizer.from_pretrained(tmp_path, pieces=tmp_path)
    with pytest.raises(ValueError, match="units up to 11, and here are 6"):
        UnitTokenizer(build(codebook_size=6), pieces=pieces)
    caplog.clear()
    other = build()
    with torch.no_grad():
        other.spin_head.codebook.weight.neg_()
    UnitTokenizer(other, pieces=pieces)
    assert "units of other weights" in caplog.text


def test_an_rspin_folder_predicts_its_pieces(tmp_path):
    rspin = build(num_pseudo_labels=7)
    rspin.save_pretrained(tmp_path)
    tokenizer = UnitTokenizer.from_pretrained(tmp_path, units="auxiliary")
    waveform = make_waveforms([320 * 37 + 80])[0]
    found = tokenizer(waveform)
    with torch.no_grad():
        states = rspin.hubert(torch.from_numpy(waveform)[None]).last_hidden_state
        expected = rspin.auxiliary_head(states)[0].argmax(-1)
    np.testing.assert_array_equal(found.frame_ids, expected)
    assert tokenizer.vocab_size == 7
    tokenizer.save_pretrained(tmp_path / "saved")
    same([UnitTokenizer.from_pretrained(tmp_path / "saved")(waveform)], [found])
    with pytest.raises(ValueError, match="no auxiliary head"):
        UnitTokenizer(build(), units="auxiliary")
    with pytest.raises(ValueError, match="predicts acoustic pieces already"):
        UnitTokenizer(rspin, units="auxiliary", pieces=learn_pieces(UnitTokenizer(build())))


@pytest.mark.parametrize("source", ["layer 1 of somewhere", "mfcc"])
def test_kmeans_units(source, tmp_path):
    torch.manual_seed(0)
    encoder = HubertModel(HubertConfig(**SIZES)).eval()
    features = mfcc if source == "mfcc" else layer_features(encoder, 1)
    waveforms = make_waveforms()
    kmeans = KMeans(5, source=source)
    kmeans.partial_fit(np.concatenate([features(w) for w in waveforms if len(w) > 400]))
    kmeans.save_pretrained(tmp_path / "labels/kmeans")
    if source == "mfcc":
        loaded = UnitTokenizer.from_pretrained(tmp_path / "labels")
    else:
        encoder.save_pretrained(tmp_path / "encoder")
        loaded = UnitTokenizer.from_pretrained(tmp_path / "encoder", kmeans=tmp_path / "labels")
        assert loaded.layer == 1
    loaded.use_pieces(learn_pieces(loaded, 15))
    loaded.save_pretrained(tmp_path / "saved")
    again = UnitTokenizer.from_pretrained(tmp_path / "saved")
    assert again.units == loaded.units and again.pieces.num_labels == loaded.pieces.num_labels
    found = again(waveforms)
    same(found, loaded(waveforms))
    for waveform, result in zip(waveforms, found, strict=True):
        if len(waveform) >= 400:
            whole = waveform[: 320 * num_frames(len(waveform)) + 80]
            np.testing.assert_array_equal(result.units, kmeans.predict(features(whole)))


def test_a_kmeans_of_another_encoder_or_layer_is_named(tmp_path, caplog):
    encoders = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        encoders[seed] = HubertModel(HubertConfig(**SIZES, initializer_range=0.2)).eval()
    features = layer_features(encoders[0], 1)
    for number, waveform in enumerate(make_waveforms([16_000] * 4)):
        soundfile.write(tmp_path / f"{number}.wav", waveform, 16_000)
    sources = sorted(map(str, tmp_path.glob("*.wav")))
    fit_kmeans(KMeans(5, source="layer 1 of a"), features, sources, tmp_path / "k", progress=False)
    kmeans = KMeans.from_pretrained(tmp_path / "k")
    UnitTokenizer(encoders[0], "layer", kmeans, 1)
    UnitTokenizer(encoders[0], "layer", kmeans, 1, bf16=True)
    UnitTokenizer(encoders[0].half().float(), "layer", kmeans, 1)  # as stored at half the size
    assert not caplog.text
    for model, layer in ((encoders[1], 1), (encoders[0], 2)):
        UnitTokenizer(model, "layer", kmeans, layer)
        assert "fitted on other features (layer 1 of a)" in caplog.text
        caplog.clear()
    rest = sources[:2]
    fit_kmeans(kmeans, layer_features(encoders[1], 1), [*sources, *rest], progress=False)
    assert "fitted on other features (layer 1 of a)" in caplog.text  # it goes on with others
    caplog.clear()
    UnitTokenizer(encoders[0], "layer", kmeans, 1)  # what it was begun with is kept
    UnitTokenizer(build(), "spin", kmeans)  # has no use for it
    assert not caplog.text
    kmeans.response = None  # of a file without it: nothing is known, nothing is said
    UnitTokenizer(encoders[1], "layer", kmeans, 1)
    assert not caplog.text


def test_the_feature_extractor_of_a_folder_is_believed(tmp_path, caplog):
    caplog.set_level("INFO")
    build().save_pretrained(tmp_path)
    assert not UnitTokenizer.from_pretrained(tmp_path).normalize
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    assert UnitTokenizer.from_pretrained(tmp_path).normalize
    assert not UnitTokenizer.from_pretrained(tmp_path, normalize=False).normalize
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path)  # as facebook/hubert-base-ls960
    kmeans = KMeans(3, source="layer 2 of it")
    kmeans.partial_fit(np.random.default_rng(0).standard_normal((50, 32)))
    plain = UnitTokenizer.from_pretrained(tmp_path, kmeans=kmeans)
    assert plain.normalize and "says do_normalize=True, which is followed" in caplog.text


def test_folders_that_cannot_give_units_are_refused(model, tmp_path):
    load = UnitTokenizer.from_pretrained
    with pytest.raises(ValueError, match="neither a folder nor a model of the Hub"):
        load("nobody/has-this-model")
    with pytest.raises(ValueError, match="holds no config.json"):
        load(tmp_path)
    with pytest.raises(ValueError, match="there is no model"):
        UnitTokenizer()
    with pytest.raises(ValueError, match="HubertModel has no codebook"):
        UnitTokenizer(HubertModel(HubertConfig(**SIZES)))
    with pytest.raises(ValueError, match="device 'cuda:77' cannot be used"):
        load(tmp_path, device="cuda:77")
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match="no codebook and no k-means"):
        load(tmp_path / "plain")
    with pytest.raises(ValueError, match="without codebook"):
        load(tmp_path / "plain", units="spin")
    with pytest.raises(ValueError, match="units is 'mel'"):
        load(tmp_path / "plain", units="mel")
    with pytest.raises(ValueError, match="there is no k-means"):
        load(tmp_path / "plain", units="layer")
    kmeans = KMeans(3)
    kmeans.partial_fit(np.random.default_rng(0).standard_normal((50, 16)))
    with pytest.raises(ValueError, match="pass layer"):
        load(tmp_path / "plain", kmeans=kmeans)
    with pytest.raises(ValueError, match="centres of 16 dimensions"):
        load(tmp_path / "plain", kmeans=kmeans, layer=1)
    # a config that announces heads over the weights of a plain encoder: codes would be random
    model.config.save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match="would be random"):
        load(tmp_path / "plain")
    (tmp_path / "plain/adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds an adapter"):
        load(tmp_path / "plain")
    model.save_pretrained(tmp_path / "spin")
    (tmp_path / "spin/unit_tokenizer.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(ValueError, match="format 2, expected 1"):
        load(tmp_path / "spin")


def test_a_repository_of_the_hub_is_a_folder(model):
    snapshot = Path(constants.HF_HUB_CACHE) / "models--hf-rspin-tests--units/snapshots/abc"
    tokenizer = UnitTokenizer(model)
    tokenizer.use_pieces(learn_pieces(tokenizer))
    tokenizer.save_pretrained(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    loaded = UnitTokenizer.from_pretrained("hf-rspin-tests/units")
    same(loaded(make_waveforms()), tokenizer(make_waveforms()))
