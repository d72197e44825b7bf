"""The student of LightHuBERT: its targets, its loss, its draws, and what it saves."""

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from hf_rspin.distillation.teachers import EncoderTeacher
from hf_rspin.elastic import Subnet, draw_subnet, running_as
from hf_rspin.elastic.objective import build_student, weighted_l1
from hf_rspin.elastic.run import save_supernet, take_projection
from hf_rspin.elastic.teacher import MeanOfLayers

from .conftest import SIZES, SPACE, tiny

FIELDS = {"teacher_dim": 5, "subnet_space": None, "subnet_seed": 7, "unmasked_weight": 1.0}


def batch(frames=12):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.zeros(2, frames, dtype=torch.bool)
    hidden[:, 2:8] = True
    return {
        "input_values": torch.randn(2, 4000, generator=generator),
        "targets": torch.randn(2, frames, 5, generator=generator),
        "mask_time_indices": hidden,
    }


def student(**fields):
    return build_student(tiny(layerdrop=0.0), FIELDS | fields).eval()


def test_stage_two_goes_on_with_the_linear_of_stage_one(tmp_path):
    first, second, other = student(), student(subnet_space=SPACE), student(teacher_dim=7)
    weight = first.projection.weight.detach().clone()
    save_supernet(first, tmp_path, torch.bfloat16)
    take_projection(second, tmp_path)
    assert torch.equal(second.projection.weight, weight)
    before = other.projection.weight.detach().clone()
    take_projection(other, tmp_path)  # of another teacher: begins anew
    assert torch.equal(other.projection.weight, before)


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize(("model_class", "config_class"), [(HubertModel, HubertConfig),
                                                           (WavLMModel, WavLMConfig)])  # fmt: skip
def test_targets_are_what_layers_add_before_the_residual(stable, model_class, config_class):
    torch.manual_seed(3)
    model = model_class(config_class(**SIZES, do_stable_layer_norm=stable)).eval()
    wave = np.random.default_rng(0).normal(size=6000).astype(np.float32)
    (found,) = MeanOfLayers(EncoderTeacher(model, bf16=False), 2).features([wave], [0])
    with torch.no_grad():
        values = torch.from_numpy(wave)[None]
        states = model(values, output_hidden_states=True).hidden_states
        added = []
        for number in (1, 2):  # the last two of three, from the input of each
            layer, x = model.encoder.layers[number], states[number]
            if model_class is WavLMModel:
                bias = model.encoder.layers[0].attention.compute_bias(18, 18)[None]
                before = layer.layer_norm(x) if stable else x
                context = layer.attention(before, position_bias=bias.squeeze(0))[0]
            else:
                context = layer.attention(layer.layer_norm(x) if stable else x)[0]
            x = x + context
            x = layer.final_layer_norm(x) if stable else layer.layer_norm(x)
            added.append(layer.feed_forward(x))
    torch.testing.assert_close(found[:, 0], torch.stack(added).mean(0)[0], rtol=1e-5, atol=1e-5)


def test_how_many_layers_are_averaged():
    def count(layers, given=0):
        model = HubertModel(HubertConfig(**SIZES | {"num_hidden_layers": layers}))
        return MeanOfLayers(EncoderTeacher(model), given).count

    assert [count(12), count(13), count(6), count(3), count(3, 3)] == [8, 8, 3, 2, 3]
    with pytest.raises(ValueError, match="average_layers is 4, but the teacher has 3 layers"):
        count(3, 4)


def test_the_teacher_is_in_eval_mode():
    model = HubertModel(HubertConfig(**SIZES, hidden_dropout=0.5)).train()
    wave = np.ones(3000, np.float32)
    teacher = MeanOfLayers(EncoderTeacher(model, bf16=False))
    first, second = teacher.features([wave, wave], [0])
    assert not model.training and torch.equal(first, second)


def test_the_loss_is_a_weighted_mean_of_distances():
    generator = torch.Generator().manual_seed(1)
    predicted, target = (torch.randn(2, 4, 3, generator=generator) for _ in range(2))
    masked = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0]]).bool()
    valid = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    distances = (predicted - target).abs().mean(-1)
    weight = torch.where(masked, 1.0, 0.5)
    loss, inside = weighted_l1(predicted, target, masked, weight, valid)
    wanted = distances[0] @ torch.tensor([1, 1, 0.5, 0.5]) + distances[1, :2] @ torch.tensor(
        [0.5, 1]
    )
    torch.testing.assert_close(loss, wanted / 4.5)
    torch.testing.assert_close(inside, (distances[0, :2].sum() + distances[1, 1]) / 3)
    with pytest.raises(ValueError, match=r"targets of shape \(2, 3, 3\); expected \(2, 4, 3\)"):
        weighted_l1(predicted, target[:, :3], masked, weight, valid)


def test_padding_does_not_count():
    """Neither the audio behind the end nor its targets change loss and gradients."""
    model = build_student(
        tiny(layerdrop=0.0, feat_extract_norm="layer"), FIELDS | {"subnet_space": SPACE}
    ).eval()
    given, found = batch(), []
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2500:] = 0
    for value in (0.0, 9.0):
        given["input_values"][1, 2500:] = value
        given["targets"][1, 7:] = value
        model.zero_grad()
        output = model(**given, attention_mask=mask, forward_number=3)
        output.loss.backward()
        found.append(
            [
                output.loss,
                output.masked_l1,
                model.projection.weight.grad.clone(),
                model.hubert.get_parameter("encoder.layer_norm.weight").grad.clone(),
            ]
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_every_forward_is_its_own_subnet():
    model, given = student(subnet_space=SPACE), batch()
    losses = {}
    for number in (0, 1, 2, 1, 0):
        loss = model(**given, forward_number=number).loss
        subnet = draw_subnet(model.space, 7, number)
        assert torch.equal(losses.setdefault(number, loss), loss)
        assert torch.equal(model(**given, subnet=subnet).loss, loss)
        with running_as(model.hubert, subnet):
            states = model.hubert(
                given["input_values"], mask_time_indices=given["mask_time_indices"]
            ).last_hidden_state
        predicted = states @ model.projection.weight[:, : subnet.width].T
        torch.testing.assert_close((predicted - given["targets"]).abs().mean(), loss)
    assert len({loss.item() for loss in losses.values()}) == 3


def test_stage_one_is_the_whole_encoder():
    model, given = student(), batch()
    output = model(**given, forward_number=5)
    assert output.used == 1
    whole = Subnet.uniform(32, 4, 4.0, 3)
    assert torch.equal(model(**given, subnet=whole).loss, output.loss)


def test_every_parameter_gets_a_gradient():
    """DDP waits for those of layers that a shallow subnet leaves out."""
    model = student(subnet_space=SPACE)
    model(**batch(), subnet=Subnet.uniform(16, 2, 3.0, 2)).loss.backward()
    names = [name for name, value in model.named_parameters() if value.grad is None]
    assert names == []
    gradient = model.hubert.get_parameter("encoder.layers.2.final_layer_norm.weight").grad
    assert not gradient.any()


def test_what_a_student_cannot_be_is_refused():
    assert build_student(tiny(layerdrop=0.1), FIELDS).config.layerdrop == 0
    with pytest.raises(ValueError, match="student_config sets layerdrop to 0.1; expected 0"):
        build_student(tiny(), FIELDS, {"layerdrop": 0.1})
    with pytest.raises(ValueError, match="names hidden_dropuot, which is no field"):
        build_student(tiny(), FIELDS, {"hidden_dropuot": 0.1})
    with pytest.raises(ValueError, match="changes the shape of the encoder"):
        build_student(tiny(), FIELDS, {"hidden_size": 16, "num_attention_heads": 2})
    with pytest.raises(ValueError, match="the encoder is too small for the space"):
        build_student(tiny(), FIELDS | {"subnet_space": SPACE | {"widths": [64]}})
