"""A student with throw-away heads, over all families of encoders."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity, gelu, logsigmoid, relu
from transformers import AutoModel, HubertConfig, SEWDConfig

from hf_rspin.distillation.students import save_student
from hf_rspin.losses.masked_prediction import masked_prediction_loss
from hf_rspin.models.encoder import FAMILIES
from hf_rspin.models.modeling_distillation import DistillationModel

from .conftest import NO_DROPOUT, SIZES, STABLE
from .test_every_family import SEWD, config_of, waveforms

FRAMES = 18  # of waveforms of 6000 samples
# what transformers builds and never runs; the second is of use where the last layer is read
UNUSED_ALWAYS = {"wav2vec2-conformer": ("pos_conv_embed",)}
UNUSED = UNUSED_ALWAYS | {"sew": ("upsample",), "sew-d": ("upsample",)}
TWO_TEACHERS = {"target_dims": [12, 12, 20], "student_layers": [-1, -1, -1]}


def build(config=None, **fields):
    torch.manual_seed(0)
    config = HubertConfig(**SIZES, **NO_DROPOUT) if config is None else config
    return DistillationModel(DistillationModel.with_fields(config, **NO_DROPOUT, **fields))


def targets(dims=((2, 12), (1, 20)), frames=FRAMES, batch=2):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(batch, n, frames, dim, generator=generator) for n, dim in dims]


def units(number=5, frames=FRAMES):
    return torch.randint(0, number, (2, frames), generator=torch.Generator().manual_seed(3))


def a_mask():
    mask = torch.zeros(2, FRAMES, dtype=torch.bool)
    mask[0, 2:7] = mask[1, 10:] = True
    return mask


def without_gradient(model, but):
    """Return the names of trainable parameters that no loss reached."""
    names = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return [name for name in names if not any(part in name for part in but)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masked", [False, True])
def test_every_trainable_parameter_of_every_family_learns(family, masked):
    config = config_of(family, layerdrop=0.0)
    fields = {**TWO_TEACHERS, "num_units": 5, "apply_spec_augment": masked}
    torch.manual_seed(0)
    model = DistillationModel(DistillationModel.with_fields(config, **fields)).train()
    options = {"mask_time_indices": a_mask()} if masked else {}
    output = model(waveforms(), targets=targets(), labels=units(), **options)
    wanted = output.l1 + output.cosine + output.unit_loss
    torch.testing.assert_close(output.loss, wanted)
    output.loss.backward()
    assert without_gradient(model, UNUSED_ALWAYS.get(family, ())) == []
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert {"distillation_head", "unit_head", model.base_model_prefix} <= trained
    assert output.hidden_states is None and output.last_hidden_state.shape == (2, FRAMES, 16)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_above_those_that_are_read_do_not_train(family):
    config = config_of(family, layerdrop=0.0)
    fields = {"target_dims": [12], "student_layers": [1], "num_units": 5, "unit_layer": 2}
    model = DistillationModel(DistillationModel.with_fields(config, **fields)).train()
    model(waveforms(), targets=targets(((1, 12),)), labels=units()).loss.backward()
    assert without_gradient(model, UNUSED.get(family, ())) == []
    top = [p for n, p in model.named_parameters() if "layers.2." in n or "layer.2." in n]
    top = [p for p in top if not p.requires_grad]
    assert top and model.highest_layer_read() == 2


@pytest.mark.parametrize("kind", ["distilhubert", "linear", "mlp"])
def test_the_loss_of_each_head_by_hand(kind):
    layers = [-1, -1, -1] if kind == "distilhubert" else [1, 2, 3]
    model = build(target_dims=[12, 12, 20], student_layers=layers, distillation_head=kind,
                  cosine_weight=0.5, distillation_weight=3).eval()  # fmt: skip
    states = model.base_model(waveforms(), output_hidden_states=True).hidden_states
    head = model.distillation_head
    if kind == "distilhubert":
        parts = gelu(states[3] @ head.shared.weight.T + head.shared.bias).chunk(3, dim=-1)
        read = [last(part) for last, part in zip(head.outputs, parts, strict=True)]
    elif kind == "linear":
        read = [states[i] @ o.weight.T + o.bias for i, o in zip(layers, head.outputs, strict=True)]
    else:
        read = [o[2](relu(o[0](states[i]))) for i, o in zip(layers, head.outputs, strict=True)]
    given = targets()
    wanted = [given[0][:, 0], given[0][:, 1], given[1][:, 0]]
    l1 = sum((p - t).abs().mean() for p, t in zip(read, wanted, strict=True)) / 3
    cosine = sum(-logsigmoid(cosine_similarity(p, t, dim=-1)).mean()
                 for p, t in zip(read, wanted, strict=True)) / 3  # fmt: skip
    output = model(waveforms(), targets=given)
    torch.testing.assert_close(output.l1, l1)
    torch.testing.assert_close(output.cosine, cosine)
    torch.testing.assert_close(output.loss, 3 * (l1 + 0.5 * cosine))


def test_units_count_at_masked_frames_and_weighted_at_others():
    model = build(num_units=5, unit_layer=2, unmasked_weight=0.25, unit_weight=2,
                  apply_spec_augment=True).eval()  # fmt: skip
    mask = a_mask()
    output = model(waveforms(), labels=units(), mask_time_indices=mask, output_hidden_states=True)
    plain = model(waveforms(), output_hidden_states=True)
    assert not torch.allclose(output.hidden_states[2], plain.hidden_states[2])  # it is hidden
    assert plain.loss is None
    z = model.unit_head.projection(output.hidden_states[2])
    parts = [masked_prediction_loss(z[where], model.unit_head.embeddings, units()[where])
             for where in (mask, ~mask)]  # fmt: skip
    torch.testing.assert_close(output.unit_loss, parts[0].loss + 0.25 * parts[1].loss)
    torch.testing.assert_close(output.loss, 2 * output.unit_loss)
    assert output.unit_accuracy == parts[0].accuracy
    whole = model(waveforms(), labels=units())
    z = model.unit_head.projection(plain.hidden_states[2]).flatten(0, 1)
    every = masked_prediction_loss(z, model.unit_head.embeddings, units().flatten())
    torch.testing.assert_close(whole.unit_loss, every.loss)


def test_a_part_of_weight_zero_is_switched_off():
    both = {**TWO_TEACHERS, "num_units": 5}
    model = build(**both, distillation_weight=0)
    output = model(waveforms(), targets=targets(), labels=units())
    assert model.distillation_head is None and output.l1 is None
    assert torch.equal(output.loss, output.unit_loss)
    model = build(**both, unit_weight=0)
    output = model(waveforms(), targets=targets(), labels=units())
    assert model.unit_head is None and output.unit_loss is None
    torch.testing.assert_close(output.loss, output.l1 + output.cosine)


def test_padding_does_not_count():
    """With a layer norm at each convolution the frames of an utterance do not see its padding."""
    model = build(HubertConfig(**SIZES, **STABLE), **TWO_TEACHERS, num_units=5).eval()
    wave, mask, given, labels = waveforms().clone(), torch.ones(2, 6000).long(), targets(), units()
    mask[1, 4000:] = 0  # 12 frames
    wave[1, 4000:] = 0
    found = model(wave, mask, given, labels)
    for target in given:
        target[1, :, 12:] = 1e5
    labels[1, 12:] = (labels[1, 12:] + 1) % 5
    again = model(wave, mask, given, labels)
    assert torch.equal(again.loss, found.loss)
    one = model(wave[:1], None, [t[:1] for t in given], labels[:1])
    other = model(wave[1:, :4000], None, [t[1:, :, :12] for t in given], labels[1:, :12])
    for name in ("l1", "cosine", "unit_loss"):
        wanted = (18 * getattr(one, name) + 12 * getattr(other, name)) / 30
        torch.testing.assert_close(getattr(found, name), wanted, rtol=1e-4, atol=1e-5)


def test_an_empty_last_frame_of_sew_d_does_not_count():
    model = build(SEWDConfig(**SIZES, **SEWD), **TWO_TEACHERS, num_units=5).eval()
    samples = 400 + 320 * 4  # five frames, of which the layers see two pairs
    given, labels = targets(frames=5), units(frames=5)
    found = model(waveforms(samples), targets=given, labels=labels).loss
    for target in given:
        target[:, :, 4] = 1e5
    labels[:, 4] = (labels[:, 4] + 1) % 5
    assert torch.equal(model(waveforms(samples), targets=given, labels=labels).loss, found)


def test_the_output_of_sew_d_is_read_as_it_is():
    """It has the rate of the convolutions already, unlike what the layers below it give."""
    fields = {"target_dims": [12], "student_layers": [-1], "num_units": 5}
    model = build(SEWDConfig(**SIZES, **SEWD), **fields).eval()
    (given,) = targets([(1, 12)])
    found = model(waveforms(), targets=[given], labels=units())
    (predicted,) = model.distillation_head([found.last_hidden_state])
    torch.testing.assert_close(found.l1, (predicted - given[:, 0]).abs().mean())
    wanted = masked_prediction_loss(
        model.unit_head(found.last_hidden_state).flatten(0, 1), model.unit_head.embeddings,
        units().flatten(),
    )  # fmt: skip
    torch.testing.assert_close(found.unit_loss, wanted.loss)


@pytest.mark.parametrize("family", ["hubert", "wavlm", "sew-d"])
def test_a_saved_student_is_a_plain_encoder(family, tmp_path):
    config = config_of(family, layerdrop=0.0)
    fields = {**TWO_TEACHERS, "num_units": 5, "apply_spec_augment": True}
    model = DistillationModel(DistillationModel.with_fields(config, **fields)).eval()
    wanted = model(waveforms()).last_hidden_state
    save_student(model, tmp_path, torch.float32)
    loaded, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert not isinstance(loaded, DistillationModel) and loaded.config.model_type == family
    torch.testing.assert_close(loaded.eval()(waveforms()).last_hidden_state, wanted,
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    assert not loaded.config.apply_spec_augment and not hasattr(loaded.config, "target_dims")


def test_a_student_saved_in_half_precision_loads_in_float32(tmp_path):
    model = build(**TWO_TEACHERS)
    wanted = model.base_model.encoder.layers[0].feed_forward.output_dense.weight.detach().clone()
    save_student(model, tmp_path, torch.bfloat16)
    loaded = AutoModel.from_pretrained(tmp_path)
    found = loaded.encoder.layers[0].feed_forward.output_dense.weight
    assert found.dtype == torch.float32 and torch.equal(found, wanted.bfloat16().float())
    stored = load_file(tmp_path / "model.safetensors").values()
    assert {value.dtype for value in stored} == {torch.bfloat16}


def test_a_whole_student_with_its_heads_comes_back(tmp_path):
    model = build(**TWO_TEACHERS, num_units=5).eval()
    model.save_pretrained(tmp_path)
    loaded = DistillationModel.from_pretrained(tmp_path).eval()
    given = {"targets": targets(), "labels": units()}
    torch.testing.assert_close(loaded(waveforms(), **given).loss, model(waveforms(), **given).loss)


@pytest.mark.parametrize(
    ("fields", "given", "message"),
    [
        ({}, {"targets": targets(((1, 12),))}, r"dimensions \[12\]; expected \[12, 12, 20\], one"),
        ({}, {"targets": targets(((2, 12), (1, 19)))}, r"\[12, 12, 19\]; expected \[12, 12, 20\]"),
        ({}, {"targets": targets(frames=17)}, "2 utterances and 17 frames; expected 2 and 18"),
        ({}, {"targets": targets(batch=1)}, "of 1 utterances and 18 frames; expected 2 and 18"),
        ({}, {"labels": units()}, "got labels, but the config names no num_units: leave labels"),
        ({"num_units": 5, "target_dims": [], "student_layers": []}, {"targets": targets()},
         "got targets, but the config names no target_dims: leave targets out"),
        ({"num_units": 5}, {"labels": units(frames=17)},
         r"labels of shape \(2, 17\); expected \(2, 18\), one for every frame"),
        ({"num_units": 5}, {"labels": units(), "mask_time_indices": a_mask()[:, 1:]},
         r"mask_time_indices of shape \(2, 17\); expected \(2, 18\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(fields, given, message):
    model = build(apply_spec_augment=True, **{**TWO_TEACHERS, **fields})
    wave = {"input_values": waveforms()}
    with pytest.raises(ValueError, match=message):
        model(**wave, **given)


@pytest.mark.parametrize("lacking", [{"apply_spec_augment": False}, {"mask_time_prob": 0.0}])
def test_a_mask_that_would_hide_nothing_is_refused(lacking):
    model = build(**{"num_units": 5, "apply_spec_augment": True, **lacking})
    with pytest.raises(ValueError, match="the encoder hides no frames; expected a config with"):
        model(waveforms(), labels=units(), mask_time_indices=a_mask())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"distillation_head": "deep"}, "is 'deep'; expected one of distilhubert, linear, mlp"),
        ({"student_layers": [-1]}, "names 1 layers for 3 target layers; expected one for each"),
        ({"student_layers": [4, 4, 4]}, "read at layer 4, but has hidden_states 0 to 3"),
        ({"unit_layer": -5}, "read at layer -5, but has hidden_states 0 to 3"),
        ({"student_layers": [1, 2, 3]}, "reads one layer for all targets"),
        ({"unmasked_weight": -1}, "unmasked_weight is -1; expected a finite number of at least 0"),
        ({"cosine_weight": float("nan")}, "cosine_weight is nan"),
        ({"layerdrop": 0.1}, "layerdrop is 0.1; expected 0"),
    ],
)
def test_heads_that_cannot_be_built_are_refused(fields, message):
    with pytest.raises(Exception, match=message) as caught:
        build(**{**TWO_TEACHERS, **fields})
    assert isinstance(caught.value, ValueError) or isinstance(caught.value.__cause__, ValueError)


def test_distilhubert_has_its_published_size():
    config = HubertConfig(num_hidden_layers=2, feat_proj_layer_norm=False)
    with torch.device("meta"):
        model = DistillationModel(DistillationModel.with_fields(
            config, target_dims=[768] * 3, student_layers=[-1] * 3
        ))  # fmt: skip
    assert model.base_model.num_parameters() == 23_491_968
