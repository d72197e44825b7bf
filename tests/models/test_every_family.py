"""What differs between families: frames, frozen layers, what is refused."""

import copy

import numpy as np
import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    HubertConfig,
    HubertModel,
    SEWDConfig,
    Wav2Vec2BertConfig,
)

from hf_rspin.audio import num_frames
from hf_rspin.evaluation.features import PretrainedEncoderFeatures
from hf_rspin.models import LaserModel, RSpinModel
from hf_rspin.models.encoder import (
    FAMILIES,
    check_frame_rate,
    frame_mask,
    layers_of,
    num_output_frames,
    num_valid_frames,
)
from hf_rspin.models.layer_range import run_above, run_below
from hf_rspin.models.loading import load_encoder

from .conftest import SIZES

SEWD = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}


def config_of(family, **options):
    options = options | (SEWD if family.startswith("sew") else {})
    return CONFIG_MAPPING[family](**SIZES, **options)


def plain(family, **options):
    torch.manual_seed(0)
    config = config_of(family, **options)
    return MODEL_MAPPING[type(config)](config).eval()


def waveforms(samples=6000):
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_leave_the_encoder_as_it_is(family, tmp_path):
    encoder = plain(family)
    encoder.save_pretrained(tmp_path)
    model = RSpinModel.from_pretrained(tmp_path, codebook_size=6, projection_size=8).eval()
    wanted = encoder(waveforms(), output_hidden_states=True)
    found = model(waveforms(), output_hidden_states=True)
    torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state)
    for one, other in zip(found.hidden_states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    loaded = load_encoder(tmp_path)
    assert type(loaded) is type(encoder)
    torch.testing.assert_close(loaded(waveforms()).last_hidden_state, wanted.last_hidden_state,
                               rtol=1e-4, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_top_layer_trains(family):
    model = RSpinModel(config_of(family))
    model.num_frozen_layers = 2
    model.train()
    model(waveforms(), perturbed_input_values=waveforms().flip(0)).loss.backward()
    trained = {n for n, p in model.base_model.named_parameters() if p.grad is not None}
    last, others = layers_of(model.base_model)[2], layers_of(model.base_model)[:2]
    inside = {id(p) for p in last.parameters()}
    above = ("encoder.upsample", "encoder.layer_norm")  # of SEW-D, of pre-norm encoders
    for name, parameter in model.base_model.named_parameters():
        assert (name in trained) == (id(parameter) in inside or name.startswith(above)
                                     and parameter.requires_grad), name  # fmt: skip
    assert last.training and not any(layer.training for layer in others)


@pytest.mark.parametrize("family", [name for name, row in FAMILIES.items() if row.splits])
@pytest.mark.parametrize("stable", [False, True])
def test_two_parts_give_the_whole(family, stable):
    has_field = "do_stable_layer_norm" in CONFIG_MAPPING[family].__dataclass_fields__
    options = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"} if stable else {}
    model = LaserModel(config_of(family, **(options if has_field else {}))).eval()
    mask = torch.ones(2, 6000, dtype=torch.long)
    encoder, wave = model.base_model, waveforms()
    for stop in (0, 1, 3):
        lower = run_below(encoder, wave, mask, stop)
        found = run_above(encoder, lower, frame_mask(wave, mask, model.config), stop)
        torch.testing.assert_close(found, encoder(wave).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_frames_of_sew_d():
    config = SEWDConfig(**SIZES, **SEWD)
    samples = 400 + 320 * 4  # five frames, of which the layers see two pairs
    assert (num_output_frames(samples, config), num_valid_frames(samples, config)) == (5, 4)
    mask = frame_mask(waveforms(samples), None, config)
    assert mask.tolist() == 2 * [[True] * 4 + [False]]
    assert frame_mask(waveforms(samples + 320), None, config) is None
    model = RSpinModel(config).eval()
    output = model(waveforms(samples), output_hidden_states=True)
    assert torch.equal(output.last_hidden_state[:, 4], torch.zeros(2, 16))
    assert output.hidden_states[1].shape[1] == 2
    assert (output.units[:, 4] == -1).all() and (output.units[:, :4] >= 0).all()


def test_a_layer_of_sew_d_is_read_at_the_rate_of_the_output():
    config = SEWDConfig(**SIZES, **SEWD)
    model = RSpinModel(RSpinModel.with_fields(config, spin_layer=1)).eval()
    output = model(waveforms(400 + 320 * 4), output_hidden_states=True)
    states = output.hidden_states[1].repeat_interleave(2, dim=1)  # (2, 4, hidden)
    wanted = model.spin_head.codebook(model.spin_head(states))
    torch.testing.assert_close(output.code_logits[:, :4], wanted)


def test_an_empty_last_frame_takes_no_part_in_a_loss():
    model = RSpinModel(RSpinModel.with_fields(SEWDConfig(**SIZES, **SEWD), num_pseudo_labels=5))
    even, odd = 400 + 320 * 3, 400 + 320 * 4
    views = waveforms(odd), waveforms(odd).flip(0)
    labels = torch.randint(0, 5, (2, 5))
    whole = model.eval()(views[0], perturbed_input_values=views[1], labels=labels)
    assert whole.num_frames == 8
    changed = labels.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 5
    again = model(views[0], perturbed_input_values=views[1], labels=changed)
    assert torch.equal(whole.loss, again.loss)
    assert model(views[0][:, :even], perturbed_input_values=views[1][:, :even],
                 labels=labels[:, :4]).num_frames == 8  # fmt: skip


def test_layer_drop_leaves_the_output_readable():
    config = config_of("data2vec-audio")
    model = RSpinModel(RSpinModel.with_fields(config, layerdrop=0.9)).train()
    model(waveforms(), perturbed_input_values=waveforms()).loss.backward()
    with pytest.raises(Exception, match="spin_layer is 1 and layerdrop is 0.9"):
        RSpinModel.with_fields(config, layerdrop=0.9, spin_layer=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_frame_is_masked_unless_asked_for(family):
    options = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0}
    config = config_of(family, mask_time_prob=0.6, mask_time_length=2)
    fields = {k: v for k, v in options.items() if k in type(config).__dataclass_fields__}
    model = RSpinModel(RSpinModel.with_fields(config, **fields)).train()
    model.base_model.train()
    dropouts = [m for m in model.modules() if type(m).__name__ in ("Dropout", "StableDropout")]
    for module in dropouts:
        module.eval()
    masked = copy.deepcopy(model)
    masked.config.apply_spec_augment = masked.base_model.config.apply_spec_augment = True
    with torch.no_grad():
        if family != "wav2vec2-conformer":  # batch norms of a training forward
            torch.testing.assert_close(model(waveforms()).last_hidden_state,
                                       model.eval()(waveforms()).last_hidden_state)  # fmt: skip
        one, other = (masked(waveforms()).last_hidden_state for _ in range(2))
    assert not torch.equal(one, other)


def test_what_is_no_encoder_of_a_known_family_is_refused(tmp_path):
    Wav2Vec2BertConfig().save_pretrained(tmp_path)
    for loader in (RSpinModel.from_pretrained, LaserModel.from_pretrained, load_encoder):
        with pytest.raises(ValueError, match="got a 'wav2vec2-bert' model; expected .* hubert,"):
            loader(tmp_path)


def test_another_frame_rate_is_refused():
    for family in FAMILIES:
        check_frame_rate(config_of(family))
    check_frame_rate(SEWDConfig())
    slow = HubertConfig(**SIZES, conv_stride=(5, 2, 2, 2, 2, 2, 4))
    with pytest.raises(ValueError, match="of 400 samples every 640; expected 400 samples every"):
        check_frame_rate(slow)


@pytest.mark.parametrize("what", ["last layer", "prefix", "nan", "size"])
def test_an_encoder_that_is_not_whole_is_refused(what, tmp_path):
    encoder = HubertModel(HubertConfig(**SIZES))
    state = encoder.state_dict()
    if what == "last layer":
        state = {n: v for n, v in state.items() if not n.startswith("encoder.layers.2.")}
    elif what == "prefix":
        state = {f"wav2vec2.{n}": v for n, v in state.items()}
    elif what == "nan":
        state["encoder.layer_norm.weight"][3] = float("nan")
    else:
        state["feature_projection.projection.bias"] = torch.zeros(5)
    encoder.save_pretrained(tmp_path, state_dict=state)
    message = {"last layer": "16 weights are missing or of another size, such as .*layers.2",
               "prefix": "weights are missing", "nan": "NaN or infinite weights, such as .*norm",
               "size": "feature_projection.projection.bias"}[what]  # fmt: skip
    for loader in (RSpinModel.from_pretrained, LaserModel.from_pretrained, load_encoder):
        with pytest.raises((ValueError, RuntimeError), match=message):
            loader(tmp_path)


def test_heads_of_another_size_begin_anew_where_asked_for(tmp_path):
    RSpinModel(config_of("hubert")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="heads in .* have other sizes .* spin_head.codebook"):
        RSpinModel.from_pretrained(tmp_path, codebook_size=7)
    model = RSpinModel.from_pretrained(tmp_path, codebook_size=7, ignore_mismatched_sizes=True)
    assert model.spin_head.codebook.weight.shape == (7, 256) and model.config.untrained_heads


def test_units_of_a_codebook_that_was_never_trained_are_not_given(tmp_path, caplog):
    HubertModel(HubertConfig(**SIZES)).save_pretrained(tmp_path / "plain")
    model = RSpinModel.from_pretrained(tmp_path / "plain").eval()
    output = model(waveforms())
    assert output.units is None and output.code_logits is None
    assert "codebook of this model was never trained" in caplog.text
    model.save_pretrained(tmp_path / "saved")
    assert RSpinModel.from_pretrained(tmp_path / "saved").eval()(waveforms()).units is None
    model.train()(waveforms(), perturbed_input_values=waveforms()).loss.backward()
    assert model.eval()(waveforms()).units is not None
    model.save_pretrained(tmp_path / "saved")
    assert RSpinModel.from_pretrained(tmp_path / "saved").eval()(waveforms()).units is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_values": torch.zeros(2, 6000, dtype=torch.int16)}, "int16; expected a floating"),
        ({"input_values": torch.zeros(2, 6000).double()}, "float64; expected torch.float32"),
        ({"input_values": torch.zeros(0, 6000)}, r"\(0, 6000\); expected \(batch, samples\)"),
        ({"attention_mask": [[1] * 6000] * 2}, "attention_mask is list; expected a torch tensor"),
        ({"input_values": torch.zeros(6000)}, r"\(6000,\); expected \(batch, samples\)"),
        ({"input_values": torch.zeros(2, 399)}, "at least 400 samples"),
        ({"input_values": torch.full((2, 6000), torch.nan)}, "NaN or infinite samples"),
        ({"attention_mask": torch.ones(2, 18)}, r"\(2, 18\); expected that of input_values"),
        ({"attention_mask": torch.ones(2, 6000).cumsum(1)}, "expected ones first and zeros"),
        ({"attention_mask": torch.cat([torch.zeros(2, 10), torch.ones(2, 5990)], 1)}, "ones first"),
    ],
)
def test_input_that_would_be_misread_is_refused(change, message):
    for model_class in (RSpinModel, LaserModel):
        model = model_class(config_of("hubert"))
        given = {"input_values": waveforms(), "attention_mask": torch.ones(2, 6000)} | change
        with pytest.raises((ValueError, TypeError), match=message):
            model(**given)


def test_an_attention_from_the_hub_is_not_followed(tmp_path, caplog):
    encoder = HubertModel(HubertConfig(**SIZES))
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("{", '{"attn_implementation": "user/kernel",', 1))
    for loader in (RSpinModel.from_pretrained, load_encoder):
        assert loader(tmp_path).config._attn_implementation != "user/kernel"
    assert "is 'user/kernel', which is not followed" in caplog.text


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("samples", [400, 700, 1040])
def test_a_frame_or_two_of_audio_give_as_many_states(family, samples):
    """Encoders of 25 Hz need two frames inside, and have one of their own for each."""
    encoder = plain(family).eval()
    features = PretrainedEncoderFeatures(encoder, family, bf16=False)
    found = features(np.random.default_rng(0).normal(0, 0.1, samples).astype("f4"))
    assert found.shape[1] == num_frames(samples) and torch.isfinite(found).all()
