"""The embedded encoder: small, stored as bfloat16, loaded as float32, and worth something."""

import json

import numpy as np
import torch
from safetensors import safe_open
from sklearn.linear_model import RidgeClassifier
from transformers import AutoFeatureExtractor, AutoModel

from hf_rspin import RSpinHubertModel
from hf_rspin.audio import read_audio
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.resources import encoder_folder, load_sample
from hf_rspin.units import mfcc


def test_size_and_precision():
    folder = encoder_folder()
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        sizes = [tensors.get_tensor(name) for name in tensors.keys()]  # noqa: SIM118
    assert all(tensor.dtype == torch.bfloat16 for tensor in sizes)
    assert sum(tensor.numel() for tensor in sizes) <= 6_000_000
    assert AutoFeatureExtractor.from_pretrained(folder).do_normalize is False
    assert "auto_map" not in json.loads((folder / "config.json").read_text())


def test_it_loads_plainly_and_with_heads_in_float32():
    plain = AutoModel.from_pretrained(encoder_folder()).eval()
    ours = RSpinHubertModel.from_pretrained(encoder_folder()).eval()
    assert plain.dtype == ours.dtype == torch.float32
    waveform = torch.randn(1, 8000)
    expected = plain(waveform).last_hidden_state
    torch.testing.assert_close(ours(waveform).last_hidden_state, expected)


def test_its_features_tell_phones_better_than_mfcc():
    model = AutoModel.from_pretrained(encoder_folder()).eval()
    sample = EvaluationSet.from_corpus(load_sample())
    phones = dict(zip(sample.ids, sample.frame_labels(), strict=True))

    @torch.inference_mode()
    def encode(waveform):
        states = model(torch.from_numpy(waveform)[None], output_hidden_states=True)
        return states.hidden_states[5][0].numpy()

    accuracy = {}
    for name, extract in (("encoder", encode), ("mfcc", mfcc)):
        parts = {}
        for split in ("train", "test"):
            rows = load_sample(split)
            features = [extract(read_audio(row["audio"])) for row in rows]
            labels = np.concatenate([phones[row["id"]] for row in rows])
            parts[split] = np.concatenate(features)[labels >= 0], labels[labels >= 0]
        mean, scale = parts["train"][0].mean(0), parts["train"][0].std(0)
        probe = RidgeClassifier(alpha=10.0)
        probe.fit((parts["train"][0] - mean) / scale, parts["train"][1])
        accuracy[name] = probe.score((parts["test"][0] - mean) / scale, parts["test"][1])
    assert accuracy["encoder"] > accuracy["mfcc"] + 0.1
