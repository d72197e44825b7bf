"""Official checkpoints become folders that give the same hidden states and codes."""

import argparse
import copy
import json
import logging

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, HubertModel, WavLMModel

from hf_rspin.hub.convert import convert_checkpoint
from hf_rspin.models import RSpinHubertModel, RSpinWavLMModel

from .official_files import (
    CODES,
    DIM,
    LARGE,
    build,
    fairseq_checkpoint,
    official_codes,
    official_weights,
    rspin_checkpoint,
    spin_checkpoint,
)

WITH_HEADS = {"hubert": RSpinHubertModel, "wavlm": RSpinWavLMModel}
PLAIN = {"hubert": HubertModel, "wavlm": WavLMModel}
WAVEFORM = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=["hubert", "wavlm"])
def family(request):
    return request.param


@pytest.fixture(params=["base", "large"])
def options(request):
    return LARGE if request.param == "large" else {}


def write(content, path, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_same_states(model, expected):
    found = model(WAVEFORM, output_hidden_states=True).hidden_states
    wanted = expected(WAVEFORM, output_hidden_states=True).hidden_states
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("method", ["spin", "rspin"])
def test_spin_and_rspin(method, family, options, tmp_path):
    encoder = build(family, **options)
    content = {"spin": spin_checkpoint, "rspin": rspin_checkpoint}[method](encoder)
    path = write(content, tmp_path / "official.ckpt")
    made = convert_checkpoint(path, tmp_path / "out", num_attention_heads=4)
    model = WITH_HEADS[family].from_pretrained(tmp_path / "out").eval()
    assert_same_states(model, encoder)
    output = model(WAVEFORM)
    assert torch.equal(output.units, official_codes(output.last_hidden_state))
    assert len(output.units.unique()) > 1
    assert (model.config.codebook_size, model.config.projection_size) == (CODES, DIM)
    assert model.config.num_pseudo_labels is None
    plain, report = AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"] and type(plain) is PLAIN[family]
    assert_same_states(plain.eval(), encoder)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    assert extractor.do_normalize is bool(options)
    assert "label_embs_concat" in made.summary() and not made.unknown
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("R-Spin" in card) is (method == "rspin") and "official.ckpt" in card


@pytest.mark.parametrize("legacy", [False, True])
def test_fairseq_becomes_a_plain_encoder(family, options, legacy, tmp_path, caplog):
    encoder = build(family, **options)
    content = fairseq_checkpoint(encoder, layer_norm_first=bool(options))
    path = write(content, tmp_path / "fairseq.pt", legacy)
    with caplog.at_level(logging.WARNING):
        made = convert_checkpoint(path, tmp_path / "out")
    model, report = PLAIN[family].from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(report.values())
    assert_same_states(model.eval(), encoder)
    assert set(made.left_out) == {"label_embs_concat", "final_proj.weight", "final_proj.bias"}
    assert "final_proj.weight" in made.summary()
    heads = "its tensors" if family == "wavlm" else "the file's own settings"
    assert made.official.sources["num_attention_heads"] == heads
    if options:
        assert "do_normalize" in caplog.text  # false in the file, unusual with layer norm
    assert not AutoFeatureExtractor.from_pretrained(tmp_path / "out").do_normalize


def test_every_layout_of_settings_is_read(tmp_path):
    encoder = build("hubert", do_stable_layer_norm=True)
    flat = {"encoder_attention_heads": 4, "layer_norm_first": True, "max_distance": 7}
    args = argparse.Namespace(**flat, normalize=True)
    weights = official_weights(encoder)
    contents = [
        {"cfg": flat | {"normalize": True}, "model": weights},
        {"model_cfg": flat, "task_cfg": {"normalize": True}, "model_weight": weights},
        {"args": args, "model": weights},
    ]
    for number, content in enumerate(contents):
        path = write(content, tmp_path / f"{number}.pt")
        made = convert_checkpoint(path, tmp_path / f"out{number}")
        assert made.official.do_normalize
        assert_same_states(HubertModel.from_pretrained(made.folder).eval(), encoder)
    encoder = build("wavlm", max_bucket_distance=7)
    path = write({"cfg": {"max_distance": 7}, "model": official_weights(encoder)}, tmp_path / "w")
    convert_checkpoint(path, tmp_path / "wavlm")
    long = 0.1 * torch.randn(1, 40_000)
    model = WavLMModel.from_pretrained(tmp_path / "wavlm").eval()
    torch.testing.assert_close(model(long)[0], encoder(long)[0], rtol=1e-4, atol=2e-6)


def test_heads_are_a_guess_only_where_nothing_tells(tmp_path):
    path = write({"model": official_weights(build())}, tmp_path / "32.pt")
    with pytest.raises(ValueError, match=r"size of 32 is no multiple.*pass --num-attention-heads"):
        convert_checkpoint(path, tmp_path / "out")
    with pytest.raises(ValueError, match="5 heads by --num-attention-heads, which do not divide"):
        convert_checkpoint(path, tmp_path / "out", num_attention_heads=5)
    with pytest.raises(ValueError, match="expected at least 1"):
        convert_checkpoint(path, tmp_path / "out", num_attention_heads=0)
    encoder = build(hidden_size=128, num_attention_heads=2)
    path = write({"model": official_weights(encoder)}, tmp_path / "128.pt")
    made = convert_checkpoint(path, tmp_path / "out128")
    assert made.model.config.num_attention_heads == 2
    assert "heads: 2 (hidden size / 64; --num-attention-heads or --config" in made.summary()
    assert_same_states(made.model, encoder)
    path = write({"model": official_weights(build("wavlm"))}, tmp_path / "wavlm.pt")
    with pytest.raises(ValueError, match="num_attention_heads is 2 by --num-attention-heads, but"):
        convert_checkpoint(path, tmp_path / "out", num_attention_heads=2)
    assert not (tmp_path / "out").exists()


def test_a_config_tells_what_tensors_do_not(tmp_path):
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 1)
    encoder = build(conv_stride=strides, do_stable_layer_norm=True, hidden_act="relu",
                    layer_norm_eps=1e-3)  # fmt: skip
    assert encoder.config.conv_kernel == kernels
    path = write({"model": official_weights(encoder)}, tmp_path / "a.pt")
    given = encoder.config.to_dict() | {"auto_map": {"AutoModel": "x.Y"}, "layerdrop": 0.7}
    (tmp_path / "config.json").write_text(json.dumps(given))
    made = convert_checkpoint(path, tmp_path / "out", config=tmp_path / "config.json")
    assert_same_states(HubertModel.from_pretrained(tmp_path / "out").eval(), encoder)
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "auto_map" not in saved and saved["layerdrop"] != 0.7
    assert saved["architectures"] == ["HubertModel"]
    convert_checkpoint(path, tmp_path / "out2", config=tmp_path, num_attention_heads=2)
    again = json.loads((tmp_path / "out2" / "config.json").read_text())
    assert (again["num_attention_heads"], made.model.config.num_attention_heads) == (2, 4)


def test_a_config_of_another_model_is_refused(tmp_path):
    path = write({"model": official_weights(build())}, tmp_path / "a.pt")
    config = tmp_path / "config.json"
    for text, message in [
        ('{"hidden_size": 768}', "hidden_size is 768 by .*config.json, but 32 by its tensors"),
        ('{"model_type": "wavlm"}', "model_type is wavlm by .*, but hubert"),
        ('{"conv_pos_batch_norm": true}', "conv_pos_batch_norm"),
        ('{"num_attention_heads": "4"}', "num_attention_heads = '4'; expected int"),
        ('{"conv_stride": [5, 2], "num_attention_heads": 4}', "conv_stride"),
        ('{"hidden_act": "sine", "num_attention_heads": 4}', "hidden_act is sine"),
        ("[]", "holds a list"),
        ("{", "is no JSON"),
    ]:
        config.write_text(text)
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(path, tmp_path / "out", config=config)
    with pytest.raises(ValueError, match="does not exist"):
        convert_checkpoint(path, tmp_path / "out", config=tmp_path / "none.json")
    assert not (tmp_path / "out").exists()


def test_convolutions_that_are_not_standard_need_strides(tmp_path):
    encoder = build(conv_kernel=(10, 3, 4), conv_stride=(5, 4, 4), conv_dim=(8,) * 3)
    heads = {"encoder_attention_heads": 4}
    path = write({"cfg": heads, "model": official_weights(encoder)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"kernels \(10, 3, 4\), whose strides .* pass --config"):
        convert_checkpoint(path, tmp_path / "out")
    said = heads | {"conv_feature_layers": "[(8,10,5), (8, 3, 4)] + [(8,4,4)]*1"}
    path = write({"cfg": said, "model": official_weights(encoder)}, tmp_path / "b.pt")
    convert_checkpoint(path, tmp_path / "out")
    assert_same_states(HubertModel.from_pretrained(tmp_path / "out").eval(), encoder)
    said["conv_feature_layers"] = "[(8,10,5)] + [(8, 3, 4)] * 3"  # other kernels than the tensors'
    path = write({"cfg": said, "model": official_weights(encoder)}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="conv_dim is"):
        convert_checkpoint(path, tmp_path / "out3")


def test_settings_of_spin_that_heads_can_have_are_kept(tmp_path):
    encoder = build()
    model = {"encoder": {"use_layer": 1, "feat_select": "x"}, "loss": {"temp": 0.2, "num_vars": 6}}
    path = write(spin_checkpoint(encoder, {"model": model}), tmp_path / "a.ckpt")
    convert_checkpoint(path, tmp_path / "out", num_attention_heads=4)
    made = RSpinHubertModel.from_pretrained(tmp_path / "out").eval()
    assert (made.config.spin_layer, made.config.temperature) == (1, 0.2)
    states = encoder(WAVEFORM, output_hidden_states=True).hidden_states[1]
    assert torch.equal(made(WAVEFORM).units, official_codes(states))
    for section, name, value in [
        ("encoder", "normalize", True), ("encoder", "feat_select", "ffn"),
        ("loss", "l2_norm", False), ("encoder", "use_layer", 3), ("loss", "num_vars", 7),
    ]:  # fmt: skip
        changed = copy.deepcopy(model)
        changed[section][name] = value
        path = write(spin_checkpoint(encoder, {"model": changed}), tmp_path / "b.ckpt")
        with pytest.raises(ValueError, match=str(value)):
            convert_checkpoint(path, tmp_path / "out2", num_attention_heads=4)


def test_other_ways_to_store_the_same_weights(tmp_path):
    """Parameters, transposed and shared storages, half precision, the new weight norm."""
    encoder = build()
    weights = official_weights(encoder)
    weights = {n: torch.nn.Parameter(w) if n.endswith("bias") else w for n, w in weights.items()}
    name = "encoder.layers.0.fc1.weight"
    weights[name] = weights[name].T.contiguous().T
    both = torch.cat([weights.pop("layer_norm.weight"), weights["encoder.layer_norm.weight"]])
    weights |= {"layer_norm.weight": both[:8], "encoder.layer_norm.weight": both[8:]}
    for number, part in enumerate("gv"):
        new = f"encoder.pos_conv.0.parametrizations.weight.original{number}"
        weights[new] = weights.pop(f"encoder.pos_conv.0.weight_{part}")
    cfg = {"encoder_attention_heads": 4}
    for legacy in (False, True):
        path = write({"cfg": cfg, "model": weights}, tmp_path / "a.pt", legacy)
        made = convert_checkpoint(path, tmp_path / f"out-{legacy}")
        assert_same_states(HubertModel.from_pretrained(made.folder).eval(), encoder)
    encoder.half()
    path = write({"cfg": cfg, "model": official_weights(encoder)}, tmp_path / "half.pt")
    made = convert_checkpoint(path, tmp_path / "half")
    model = HubertModel.from_pretrained(tmp_path / "half").eval()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert_same_states(model, encoder.float())


def test_conversion_is_deterministic_and_leaves_a_clean_folder(tmp_path):
    path = write(spin_checkpoint(build()), tmp_path / "a.ckpt")
    files = []
    for parent in ("one", "two"):
        made = convert_checkpoint(path, tmp_path / parent / "spin", num_attention_heads=4)
        files.append({f.name: f.read_bytes() for f in made.folder.iterdir()})
        assert [f.name for f in made.folder.parent.iterdir()] == ["spin"]
    assert files[0] == files[1]
    assert not {name for name in files[0] if name.endswith((".bin", ".pkl", ".pt"))}
    assert (
        "partial" not in files[0]["README.md"].decode()
        and "a.ckpt" in made.folder.joinpath("README.md").read_text()
    )


def test_what_has_no_place_is_named_in_a_warning(tmp_path, caplog):
    content = fairseq_checkpoint(build())
    content["model"] |= {"spk_proj.weight": torch.rand(2), "odd\x1b[31m": torch.rand(1)}
    path = write(content, tmp_path / "a.pt")
    made = convert_checkpoint(path, tmp_path / "out")
    assert made.unknown == ["spk_proj.weight", "odd\x1b[31m"]
    assert "2 weights that have no place in a HubertModel" in caplog.text
    assert "spk_proj.weight, odd\\x1b[31m" in caplog.text and "\x1b" not in caplog.text
    content = spin_checkpoint(build())
    content["state_dict"]["loss_module.codebook.weight"] *= 1.5
    path = write(content, tmp_path / "b.ckpt")
    convert_checkpoint(path, tmp_path / "out2", num_attention_heads=4)
    assert "norms up to 0.500 off 1" in caplog.text
