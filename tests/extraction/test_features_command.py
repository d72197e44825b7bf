"""`hf-rspin features`: hidden states as the model gives them; killed anywhere, it goes on."""

import json

import datasets
import numpy as np
import pandas
import pytest
import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from hf_rspin.audio import num_frames, num_samples, read_audio
from hf_rspin.commands.features import main
from hf_rspin.data import load_corpus
from hf_rspin.extraction.features import FeatureError, load_columns
from hf_rspin.extraction.merge import merge
from hf_rspin.extraction.output import OutputFolder
from hf_rspin.extraction.run import extract, split_rows
from hf_rspin.models import load_encoder
from hf_rspin.models.encoder import layers_of

FAMILIES = {"hubert": (HubertConfig, HubertModel), "wavlm": (WavLMConfig, WavLMModel)}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def features(*arguments):
    main([*map(str, arguments)])


@pytest.mark.parametrize("precision", ["float16", "float32"])
@pytest.mark.parametrize("file_format", ["parquet", "npz", "dataset"])
def test_features_are_the_hidden_states(file_format, precision, speech, encoder_folder, tmp_path):
    out = tmp_path / "out"
    features(speech, "--encoder", encoder_folder, "--layers", 3, 1, "--output_dir", out,
             "--format", file_format, "--precision", precision, "--file_mb", "0.02",
             "--segment_seconds", "20")  # fmt: skip
    index = json.loads((out / "index.json").read_text())
    assert index["layers"] == [1, 3] and index["dim"] == 32 and len(index["files"]) > 3
    encoder = load_encoder(encoder_folder)
    waveform = read_audio(speech / "4.wav")
    waveform = torch.from_numpy(waveform[: num_samples(num_frames(len(waveform)))])[None]
    with torch.no_grad():
        states = encoder(waveform, output_hidden_states=True).hidden_states
    if file_format == "npz":
        found = [np.load(one) for one in sorted((out / "data").glob("*.npz"))]
        (file,) = [one for one in found if "4" in one["id"]]
        row = {name: file[f"{name}/4"] for name in ("layer_1", "layer_3")}
        assert row["layer_1"].dtype == precision
    elif file_format == "parquet":
        row = pandas.read_parquet(out / "data").set_index("id").loc["4"]
        assert row["layer_3"][0].dtype == precision
    else:
        table = datasets.load_from_disk(str(out / "data")).with_format("numpy")
        (row,) = [one for one in table if one["id"] == "4"]
    for layer in (1, 3):
        got = np.stack(row[f"layer_{layer}"])
        np.testing.assert_allclose(got, states[layer][0], atol=5e-3 if precision == "float16"
                                   else 1e-5)  # fmt: skip


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_layers_that_nobody_asked_for_are_not_computed(family, stable, tmp_path):
    config_class, model_class = FAMILIES[family]
    torch.manual_seed(0)
    config = config_class(**SIZES, do_stable_layer_norm=stable, feat_extract_norm="layer")
    model_class(config).save_pretrained(tmp_path)
    waveform = np.random.default_rng(0).normal(size=8_000).astype("f4")
    whole = load_columns(str(tmp_path), [0, 1, 2, 3], "float32")([waveform], [0.0])[0]
    assert len(layers_of(load_columns(str(tmp_path), [1]).encoder)) == 2
    for layer in range(4):
        part = load_columns(str(tmp_path), [layer], "float32")([waveform], [0.0])[0]
        np.testing.assert_array_equal(part[f"layer_{layer}"], whole[f"layer_{layer}"])


class Killed(BaseException):
    """Stands for a signal: nothing in the package catches it."""


class Dying:
    """Columns of an encoder, until the call that kills."""

    def __init__(self, columns, calls):
        self.columns, self.left = columns, calls
        self.pads = columns.pads

    def __call__(self, waveforms, starts):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.columns(waveforms, starts)


def test_killed_at_any_call_it_goes_on_and_ends_the_same(speech, encoder_folder, tmp_path):
    corpus = load_corpus(speech)
    columns = load_columns(str(encoder_folder), [2])
    files = split_rows(np.asarray(corpus["duration"]), 2.0)
    about = {**columns.about, "format": "npz", "read": []}

    def run(folder, calls):
        output = OutputFolder(folder, "npz", len(files), columns.provenance)
        output.begin(len(corpus), about, {})
        extract(Dying(columns, calls), corpus, output, files, batch_seconds=1.0, progress=False)
        return merge(folder)

    whole = run(tmp_path / "whole", 100)
    calls, index = 0, None
    while index is None:
        try:
            index = run(tmp_path / "killed", calls)  # one call more than the last time
        except Killed:
            assert merge(tmp_path / "killed") is None
        calls += 1
    assert 2 < calls < 100
    assert {k: v for k, v in index.items() if k != "files"} == {
        k: v for k, v in whole.items() if k != "files"
    }
    for one in whole["files"]:
        ours = np.load(tmp_path / "killed" / "data" / one["name"])
        theirs = np.load(tmp_path / "whole" / "data" / one["name"])
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert not list((tmp_path / "killed").rglob("*.tmp"))


def test_a_finished_note_without_its_file_is_made_again(speech, encoder_folder, tmp_path):
    out = tmp_path / "out"
    options = ["--encoder", encoder_folder, "--output_dir", out, "--file_mb", "0.02"]
    features(speech, *options)
    file = sorted((out / "data").iterdir())[2]
    content = file.read_bytes()
    times = {one: one.stat().st_mtime_ns for one in (out / "data").iterdir() if one != file}
    file.unlink()
    features(speech, *options)
    assert file.read_bytes() == content
    assert times == {one: one.stat().st_mtime_ns for one in times}  # the others were not touched


@pytest.mark.parametrize("seed", range(4))
def test_files_hold_neighbours_of_bounded_length(seed):
    durations = np.random.default_rng(seed).uniform(0.1, 9, 40)
    files = split_rows(durations, 10.0)
    assert np.concatenate(files).tolist() == list(range(40))
    assert all(len(rows) == 1 or durations[rows].sum() <= 10 for rows in files)
    assert all(durations[one].sum() + durations[other[0]] > 10
               for one, other in zip(files, files[1:], strict=False))  # fmt: skip


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--layers", "4"], "hidden states 0 to 3"),
        (["--layers", "1", "1"], "expected different ones"),
        (["--precision", "int8"], "expected float16, float32"),
        (["--device", "tpu"], "expected auto, cpu, or cuda"),
        (["--file_mb", "0"], "expected a number above 0"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, speech, encoder_folder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=message):
        features(speech, "--encoder", encoder_folder, "--output_dir", out, *arguments)
    assert not out.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_what_cannot_be_stored_is_no_feature(value, encoder_folder):
    columns = load_columns(str(encoder_folder), [1])
    with pytest.raises(FeatureError, match="NaN or infinite|pass --precision float32"):
        columns._columns(torch.full((1, 3, columns.dim), value))
