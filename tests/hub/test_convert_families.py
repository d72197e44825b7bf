"""data2vec, ContentVec, HuBERT-MGR and DistilHuBERT: the same hidden states, or a refusal."""

import json
import re

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, Data2VecAudioModel, HubertModel

from hf_rspin.evaluation import load_features
from hf_rspin.hub.convert import convert_checkpoint
from hf_rspin.inert_pickle import CheckpointError

from .official_files import (
    POSITIONS,
    build,
    contentvec_checkpoint,
    data2vec_checkpoint,
    distilled,
    distiller_checkpoint,
    fairseq_checkpoint,
    s3prl_checkpoint,
)

WAVEFORM = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(3))


def convert(content, folder, **options):
    torch.save(content, folder / "official.pt")
    return convert_checkpoint(folder / "official.pt", folder / "out", **options)


def refused(content, folder, message, **options):
    with pytest.raises(CheckpointError, match=message) as error:
        convert(content, folder, **options)
    assert "\n" not in str(error.value) and not (folder / "out").exists()


def assert_same(made, expected, model_class):
    """Compare with the folder as transformers loads it, and as evaluation reads it."""
    model, report = AutoModel.from_pretrained(made.folder, output_loading_info=True)
    assert type(model) is model_class and not any(report.values()) and not made.unknown
    found = model.eval()(WAVEFORM, output_hidden_states=True).hidden_states
    wanted = expected(WAVEFORM, output_hidden_states=True).hidden_states
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    features = load_features(made.folder, bf16=False)
    features.normalize = False
    states = torch.stack([state[0] for state in wanted])
    torch.testing.assert_close(features(WAVEFORM[0].numpy()), states, rtol=1e-4, atol=1e-5)


def reads_normalized(made):
    return AutoFeatureExtractor.from_pretrained(made.folder).do_normalize


@pytest.mark.parametrize(
    "options",
    [POSITIONS, {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 4, "conv_bias": True}],
)
@pytest.mark.parametrize("by_s3prl", [False, True])
def test_data2vec(options, by_s3prl, tmp_path):
    encoder = build("data2vec", **options)
    content = data2vec_checkpoint(encoder)
    made = convert(s3prl_checkpoint(content) if by_s3prl else content, tmp_path)
    assert_same(made, encoder, Data2VecAudioModel)
    assert reads_normalized(made) and made.left_out == ["final_proj.0.weight"]
    assert "Data2VecAudioModel" in made.summary() and "post-norm" in made.summary()
    config = json.loads((made.folder / "config.json").read_text())
    assert {name: config[name] for name in options} == options
    assert not {"feat_extract_norm", "do_stable_layer_norm"} & config.keys()


def test_data2vec_that_says_nothing_of_itself_or_is_robust(tmp_path):
    encoder = build("data2vec", hidden_size=128, num_attention_heads=2, **POSITIONS)
    made = convert({"model": data2vec_checkpoint(encoder)["model"]}, tmp_path)
    assert_same(made, encoder, Data2VecAudioModel)
    assert reads_normalized(made)
    (tmp_path / "robust").mkdir()
    encoder = build("data2vec", **POSITIONS)
    content = data2vec_checkpoint(encoder, _name="data2vec_audionoisy", small_scale=0.1)
    content["cfg"]["task"]["_name"] = "audio_pretrainingnoisy"
    assert_same(convert(content, tmp_path / "robust"), encoder, Data2VecAudioModel)


def test_data2vec_that_transformers_cannot_compute(tmp_path):
    encoder = build("data2vec", **POSITIONS)
    content = data2vec_checkpoint(encoder, layer_norm_first=True)
    refused(content, tmp_path, "data2vec with layer norm in front and pre-norm layers")
    content = data2vec_checkpoint(encoder, extractor_mode="default")
    weights = content["model"]
    for name in [name for name in weights if ".2.1." in name]:
        value = weights.pop(name)
        if name.startswith("feature_extractor.conv_layers.0."):
            weights[name.replace(".2.1.", ".2.")] = value
    refused(content, tmp_path, "data2vec with group norm in front")
    content = data2vec_checkpoint(encoder, pos_conv_depth=6)
    refused(content, tmp_path, "num_conv_pos_embeddings is 6 by .*, but 5 by its tensors")
    content = data2vec_checkpoint(encoder, conv_pos=5 * 21)
    refused(content, tmp_path, "conv_pos_kernel_size is 21 by .*, but 19 by its tensors")
    newer = {"modality_encoders.AUDIO.local_encoder.conv_layers.0.0.weight": torch.rand(3)}
    refused({"model": newer}, tmp_path, r"it is a data2vec 2\.0")


@pytest.mark.parametrize("by_s3prl", [False, True])
def test_hubert_mgr_and_the_legacy_contentvec_are_plain_hubert(by_s3prl, tmp_path):
    encoder = build()
    content = fairseq_checkpoint(encoder)
    content["task_state"] = {"dictionaries": [torch.nn.ReLU()]}  # of a class that is not imported
    made = convert(s3prl_checkpoint(content) if by_s3prl else content, tmp_path)
    assert_same(made, encoder, HubertModel)
    assert not reads_normalized(made)


def test_contentvec_loses_the_layers_that_read_speakers(tmp_path):
    encoder = build()
    made = convert(contentvec_checkpoint(encoder), tmp_path)
    assert_same(made, encoder, HubertModel)
    assert made.model.config.num_hidden_layers == 2
    assert "encoder.layers.2.fc1.weight" in made.left_out and "layer_proj.bias" in made.left_out
    assert "encoder.cond_layer_norm.weight_ln.weight" in made.left_out


def test_contentvec_that_hubert_cannot_compute(tmp_path):
    content = contentvec_checkpoint(build(), layer_norm_first=True)
    refused(content, tmp_path, "norm behind them reads a speaker embedding")
    content = contentvec_checkpoint(build())
    weights = content["model"]
    for name in [name for name in weights if name.startswith("encoder.layers.2.")]:
        weights[name.replace("layers.2.", "layers.3.")] = weights[name]
        plain = re.sub(r"_ln\.weight$", "", name.replace("layers.2.", "layers.1."))
        weights[name.replace("layers.2.", "layers.1.")] = weights.pop(name)
        weights[plain.replace("layers.1.", "layers.2.")] = weights[plain]
    refused(content, tmp_path, r"its layers \[1, 3\] of 4 read a speaker embedding")


def test_a_file_that_equals_the_model_it_comes_from_is_refused(tmp_path):
    encoder = build()
    encoder.save_pretrained(tmp_path / "base")
    content = fairseq_checkpoint(encoder)
    content["model"] = {name: value.half() for name, value in content["model"].items()}
    refused(content, tmp_path, "has the weights of .*base", base=tmp_path / "base")
    content["model"]["encoder.layers.1.fc2.bias"][3] += 0.01
    convert(content, tmp_path, base=tmp_path / "base")
    (tmp_path / "other").mkdir()
    build(num_hidden_layers=1).save_pretrained(tmp_path / "shorter")
    convert(fairseq_checkpoint(encoder), tmp_path / "other", base=tmp_path / "shorter")


def test_distilhubert(tmp_path):
    encoder = distilled()
    made = convert(distiller_checkpoint(encoder), tmp_path)
    assert_same(made, encoder, HubertModel)
    assert not reads_normalized(made)
    assert not hasattr(made.model, "masked_spec_embed")
    assert made.model.config.feat_proj_layer_norm is False
    assert "output_layer.2.weight" in made.left_out
    assert made.official.sources["num_attention_heads"] == "the file's own settings"


def test_distilhubert_that_hubert_cannot_compute(tmp_path):
    encoder = distilled()
    content = distiller_checkpoint(encoder, attention_type="sparse")
    refused(content, tmp_path, "attention_type = sparse")
    content = distiller_checkpoint(encoder, task_emb_type="add")
    content["Distiller"]["task_embedding.weight"] = torch.rand(2, 32)
    refused(content, tmp_path, "would change what the encoder computes .* task_embedding.weight")
    content = {"model": distiller_checkpoint(encoder)["Distiller"]}
    refused(content, tmp_path, "3 of its weights are missing: .*layer_norm.weight, .*mask_emb")
    content = distiller_checkpoint(build())  # with the norm that DistilHuBERT lacks
    refused(content, tmp_path, "would change what the encoder computes .* layer_norm.weight")
    content = distiller_checkpoint(encoder)
    del content["Config"]
    with pytest.raises(ValueError, match="12 heads by s3prl's distiller, which do not divide"):
        convert(content, tmp_path)


FILES = {
    "data2vec": lambda: data2vec_checkpoint(build("data2vec", **POSITIONS)),
    "contentvec": lambda: contentvec_checkpoint(build()),
    "distilhubert": lambda: distiller_checkpoint(distilled()),
}


@pytest.mark.parametrize("kind", FILES)
def test_missing_misnamed_and_foreign_weights_are_named(kind, tmp_path):
    content = FILES[kind]()
    place = "Distiller" if kind == "distilhubert" else "model"
    whole = dict(content[place])
    needed = [
        name for name in whole
        if not name.startswith(("final_proj", "label_embs", "output_layer", "layer_proj", "_ema"))
        and not name.startswith(("encoder.layers.2.", "encoder.cond_layer_norm."))
        and ".conv_layers.6." not in name  # fewer convolutions, by the tensors alone
    ]  # fmt: skip
    for name in needed[:: len(needed) // 12] + [needed[-1]]:
        content[place] = {key: value for key, value in whole.items() if key != name}
        refused(content, tmp_path, f"1 of its weights are missing: {re.escape(name)}")
    name = "encoder.layers.1.fc1.weight"
    content[place] = {key.replace(name, name + "s"): value for key, value in whole.items()}
    refused(content, tmp_path, f"1 of its weights are missing: {name}")
    for name in ("encoder.layers.0.adapter.weight", "encoder.pos_conv.0.1.weight"):
        content[place] = whole | {name: torch.rand(2)}
        refused(content, tmp_path, f"1 of its weights would change what .*: {re.escape(name)}")
