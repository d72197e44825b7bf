"""Public checkpoints of MR-HuBERT become folders; what is missing or foreign is refused."""

import json
import re
from argparse import Namespace

import pytest
import torch

from hf_rspin import MRHubertConfig, MRHubertModel, convert_checkpoint
from hf_rspin.inert_pickle import CheckpointError
from hf_rspin.models import load_encoder

SIZES = {
    "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
KINDS = {
    "base": {"block_layers": (1, 2, 1)},
    "three": {"block_layers": (1, 2, 1, 3, 1), "resolution_strides": (5, 2, 1)},
    "simple": {"simple_sampling": True, "block_layers": (1, 1, 2)},
    "one prediction": {"num_predictions": 1, "block_layers": (1, 1, 1)},
    "equal": {"resolution_strides": (1, 1), "block_layers": (1, 1, 1)},
    "large": {"block_layers": (1, 1, 1), "do_stable_layer_norm": True,
              "feat_extract_norm": "layer"},
}  # fmt: skip
RATIOS = {(2, 1): [1, 2], (5, 2, 1): [1, 2, 2, 5], (1, 1): [1, 1]}
# within a module, our names and those of fairseq
PARTS = [
    ("attention.", "self_attn."), ("feed_forward.intermediate_dense", "fc1"),
    ("feed_forward.output_dense", "fc2"), ("pos_conv_embed.conv.", "pos_conv.0."),
    ("parametrizations.weight.original0", "weight_g"),
    ("parametrizations.weight.original1", "weight_v"),
    ("feature_projection.projection", "post_extract_proj"),
    ("feature_projection.layer_norm", "layer_norm"), ("masked_spec_embed", "mask_emb"),
    ("up_conv", "upsample_conv.0"), ("up_norm", "upsample_conv.2"),
    ("down_conv", "downsample_conv.0"), ("down_norm", "downsample_conv.2"),
]  # fmt: skip


def build(kind="base", **changes):
    torch.manual_seed(0)
    model = MRHubertModel(MRHubertConfig(**(SIZES | KINDS[kind] | changes))).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def official(model):
    """The state dict of a model in the names of fairseq, with heads of pre-training."""
    config, found = model.config, {}
    steps = config.num_blocks // 2
    blocks = [*(f"encoders.{i}" for i in range(steps)), "middle_encoder",
              *(f"decoders.{i}" for i in range(steps))]  # fmt: skip
    places = [(b, i) for b, n in zip(blocks, config.block_layers, strict=True) for i in range(n)]
    sampling = [*(f"downsample_modules.{i}" for i in range(steps)),
                *(f"upsample_modules.{i}" for i in reversed(range(steps)))]  # fmt: skip
    for name, value in model.state_dict().items():
        for ours, theirs in PARTS:
            name = name.replace(ours, theirs)
        if m := re.match(r"encoder\.layers\.(\d+)\.(.*)", name):
            name = "{}.layers.{}.".format(*places[int(m.group(1))]) + m.group(2)
            # the first norm of a layer is that of attention
            name = re.sub(r"(layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm", name)
        elif m := re.match(r"encoder\.norms\.(\d+)\.(.*)", name):
            name = f"{blocks[int(m.group(1))]}.layer_norm.{m.group(2)}"
        elif m := re.match(r"encoder\.sampling\.(\d+)\.(.*)", name):
            name = f"{sampling[int(m.group(1))]}.{m.group(2)}"
        elif name.startswith("encoder."):
            name = name.replace("encoder.", "encoders.0.", 1)
        elif m := re.match(r"(feature_extractor\.conv_layers\.\d+)\.(conv|layer_norm)\.(.*)", name):
            layer_norm = "2.1" if config.feat_extract_norm == "layer" else "2"
            name = f"{m.group(1)}.{'0' if m.group(2) == 'conv' else layer_norm}.{m.group(3)}"
        found[name] = value.clone()
    for index in range(config.num_predictions):
        found[f"final_projs.{index}.weight"] = torch.randn(4, 16)
        found[f"label_embs_concat.{index}"] = torch.randn(9, 4)
    return found


def settings(model, **changes):
    config = model.config
    return {
        "label_rate_ratios": RATIOS[config.resolution_strides], "encoder_layers": 4,
        "encoder_attention_heads": 2, "layer_norm_first": config.do_stable_layer_norm,
        "use_single_prediction": config.num_predictions == 1,
    } | changes  # fmt: skip


def save(path, state_dict, model_settings):
    torch.save({"cfg": {"model": model_settings}, "model": state_dict}, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [False, True])
def test_a_checkpoint_becomes_an_equal_model(kind, texts, tmp_path):
    model = build(kind)
    said = settings(model)
    if texts:  # some files hold their settings as text
        said = {name: str(value) for name, value in said.items()}
    made = convert_checkpoint(save(tmp_path / "mr.pt", official(model), said), tmp_path / "made")
    assert type(made.model) is MRHubertModel and not made.unknown
    assert len(made.left_out) == 2 * model.config.num_predictions
    for name, value in KINDS[kind].items():
        assert getattr(made.model.config, name) == value, name
    loaded = load_encoder(tmp_path / "made")
    waveform = 0.3 * torch.randn(1, 7000)
    for ours, wanted in zip(loaded(waveform).resolution_outputs,
                            model(waveform).resolution_outputs, strict=True):  # fmt: skip
        torch.testing.assert_close(ours, wanted)
    strides = ", ".join(map(str, model.config.block_strides))
    assert f"layers at 50 Hz / {strides} (the file's own settings)" in made.summary()


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize(
    "nested",
    [lambda said: {"cfg": said}, lambda said: {"args": said, "cfg": None},
     lambda said: {"args": Namespace(**said), "cfg": None}],
)  # fmt: skip
def test_settings_may_have_no_sections(nested, texts, tmp_path):
    model = build("three")
    said = settings(model, use_single_prediction=True)
    if texts:
        said = {name: str(value) for name, value in said.items()}
    torch.save(nested(said) | {"model": official(model)}, tmp_path / "mr.pt")
    config = convert_checkpoint(tmp_path / "mr.pt", tmp_path / "made").model.config
    assert config.resolution_strides == (5, 2, 1) and config.block_layers == (1, 2, 1, 3, 1)
    assert config.num_attention_heads == 2 and config.num_predictions == 1


def test_the_script_says_what_it_made(main, tmp_path, capsys):
    model = build()
    path = save(tmp_path / "mr.pt", official(model), settings(model))
    main("convert_checkpoint", path, tmp_path / "made")
    text = capsys.readouterr().out
    assert "blocks: 1, 2, 1 layers at 50 Hz / 1, 2, 1" in text
    assert "from hf_rspin import MRHubertModel" in text


def test_resolutions_may_come_from_a_config(tmp_path):
    model = build("equal")
    path = save(tmp_path / "mr.pt", official(model), {"encoder_attention_heads": 2})
    with pytest.raises(ValueError, match="no label_rate_ratios: pass --config with resolution_str"):
        convert_checkpoint(path, tmp_path / "made")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "mr-hubert", "resolution_strides": [1, 1]}))
    made = convert_checkpoint(path, tmp_path / "made", config)
    assert made.model.config.resolution_strides == (1, 1)
    config.write_text(json.dumps({"model_type": "hubert", "resolution_strides": [1, 1]}))
    with pytest.raises(CheckpointError, match="model_type is hubert by .*; expected mr-hubert"):
        convert_checkpoint(path, tmp_path / "other", config)


MISSING = [
    "encoders.0.layers.0.fc1.weight", "middle_encoder.layers.0.fc2.bias",
    "decoders.0.layer_norm.weight", "downsample_modules.0.downsample_conv.0.weight",
    "upsample_modules.0.upsample_conv.2.bias", "mask_emb", "encoders.0.pos_conv.0.weight_g",
    "layer_norm.weight",
]  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_tensor_is_named(name, tmp_path):
    model = build()
    state_dict = official(model)
    del state_dict[name]
    path = save(tmp_path / "mr.pt", state_dict, settings(model))
    with pytest.raises(CheckpointError, match=f"1 of its weights are missing: {name}"):
        convert_checkpoint(path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def with_tensor(name, *shape):
    return lambda tensors: tensors | {name: torch.zeros(shape)}


def without_block(tensors):
    return {name: value for name, value in tensors.items() if not name.startswith("decoders.")}


@pytest.mark.parametrize(
    ("change", "said", "message"),
    [
        (with_tensor("decoders.0.pos_conv.0.bias", 16), {}, "no place in .*: decoders.0.pos_conv"),
        (with_tensor("middle_encoder.layers.0.grep_a", 1), {}, "parts that are not HuBERT's"),
        (with_tensor("downsample_modules.0.more", 1), {}, "no place in .*: downsample_modules.0.m"),
        (with_tensor("upsample_modules.0.upsample_conv.0.weight", 16, 16, 7), {},
         r"up_conv.weight has shape \(16, 16, 7\); expected \(16, 16, 1\)"),
        (without_block, {}, "1 blocks .* on the way down and 0 .* on the way up"),
        (dict, {"label_rate_ratios": [1, 2, 1, 2]}, "expected 2 whole numbers, two for each of"),
        (dict, {"label_rate_ratios": [2, 4]}, r"are \[2, 4\]; expected rates .* lowest terms"),
        (dict, {"label_rate_ratios": [2, 3]}, r"are \[2, 3\]; expected rates that fall to whole"),
        (dict, {"label_rate_ratios": "a b"}, "label_rate_ratios are a b; expected 2 whole"),
        (dict, {"encoder_embed_dim": 32}, "hidden_size is 32 by .*, but 16 by its tensors"),
    ],
)  # fmt: skip
def test_what_is_foreign_is_refused(change, said, message, tmp_path):
    model = build()
    path = save(tmp_path / "mr.pt", change(official(model)), settings(model, **said))
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_other_tensors_are_left_out_and_named(tmp_path, caplog):
    model = build()
    state_dict = official(model) | {"something.weight": torch.zeros(2)}
    made = convert_checkpoint(
        save(tmp_path / "mr.pt", state_dict, settings(model)), tmp_path / "made"
    )
    assert made.unknown == ["something.weight"]
    assert "1 weights that have no place in a MRHubertModel and are left out" in caplog.text
