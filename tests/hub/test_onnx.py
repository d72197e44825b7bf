"""ONNX files: onnxruntime gives what the model gives, at other lengths and batch sizes."""

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.hub.onnx import build_graph, export_onnx
from hf_rspin.models import RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.units import KMeans, UnitTokenizer

from ..tiny import TINY

SHAPES = [(1, 400), (2, 16_000), (5, 9_999), (1, 50_000)]


def waveforms(shape):
    generator = np.random.default_rng(shape[1])
    return (0.3 + 0.1 * generator.standard_normal(shape)).astype("f4")


def run(file, values):
    return onnxruntime.InferenceSession(str(file)).run(None, {"input_values": values})


def test_a_normalised_spin_model_gives_the_units_of_its_tokenizer(tmp_path):
    torch.manual_seed(0)
    config = RSpinWavLMConfig(**TINY, projection_size=8, codebook_size=12,
                              feat_extract_norm="layer", do_stable_layer_norm=True)  # fmt: skip
    tokenizer = UnitTokenizer(RSpinWavLMModel(config).eval(), normalize=True)
    tokenizer.save_pretrained(tmp_path / "spin")
    file = export_onnx(tmp_path / "spin", tmp_path / "out" / "spin.onnx")
    assert [one.name for one in file.parent.iterdir()] == ["spin.onnx"]
    for shape in SHAPES:
        values = waveforms(shape)
        scores, units = run(file, values)
        assert scores.shape == (*units.shape, 12) and units.dtype == np.int64
        for row, one in zip(units, values, strict=True):
            whole = tokenizer(one[: 320 * ((len(one) - 400) // 320) + 400])
            assert len(row) == len(whole.units)
            # the sound after the last frame is in the mean of the graph only
            assert (row == whole.units).mean() > 0.9


def test_units_of_a_layer_and_states_of_an_encoder(tmp_path):
    torch.manual_seed(0)
    model = HubertModel(HubertConfig(**TINY)).eval()
    model.save_pretrained(tmp_path / "encoder")
    kmeans = KMeans(5, source="layer 1")
    features = np.random.default_rng(0).normal(size=(200, 32)).astype("f4")
    kmeans.standardize_by(3 * features)
    kmeans.fit_stream([features])
    file = export_onnx(tmp_path / "encoder", tmp_path / "units.onnx", kmeans=kmeans)
    plain, _ = build_graph(tmp_path / "encoder", "auto", None, None, None)
    assert plain.names == ["last_hidden_state"]
    for shape in SHAPES:
        values = waveforms(shape)
        with torch.no_grad():
            states = model(torch.from_numpy(values)).last_hidden_state
            torch.testing.assert_close(plain(torch.from_numpy(values))[0], states)
        expected = kmeans.predict(states.numpy().reshape(-1, 32)).reshape(states.shape[:2])
        assert (run(file, values)[1] == expected).mean() > 0.999


def test_mistakes_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="neither a folder nor a model"):
        export_onnx(tmp_path / "nowhere", tmp_path / "a.onnx")
    KMeans(2, source="mfcc").fit_stream([np.eye(39, dtype="f4")]).save_pretrained(
        tmp_path / "m" / "kmeans"
    )
    with pytest.raises(ValueError, match="no config.json"):
        export_onnx(tmp_path / "m", tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()
