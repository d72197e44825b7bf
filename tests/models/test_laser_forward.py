import copy

import pytest
import torch
from torch.nn.functional import normalize

from hf_rspin.losses import laser_loss
from hf_rspin.losses.frame_similarity import pairwise_cosine

from .conftest import NO_DROPOUT, STABLE
from .laser_models import build_laser, make_pair, rows


def by_hand(model, batch, teacher=None):
    """Compute the loss of each utterance alone, by the stock encoder, and average."""
    losses = []
    for index in range(len(batch["input_values"])):
        alone = rows(batch, index)
        clean, perturbed = (
            normalize(model.laser_head.projection(encoder(wave).last_hidden_state), dim=-1)
            for encoder, wave in zip(
                (teacher or model.base_model, model.base_model), alone.values(), strict=True
            )
        )
        config = model.config
        losses.append(
            laser_loss(
                clean, perturbed, alpha=config.idm_weight, margin=config.idm_margin,
                length_normalization=config.length_normalization,
            ).loss
        )  # fmt: skip
    return torch.stack(losses).mean()


@pytest.mark.parametrize("frozen", [None, 0, 2, 3])
def test_the_loss_is_that_of_each_utterance_alone(family, frozen):
    model = build_laser(family, **STABLE)
    model.num_frozen_layers = frozen
    batch = make_pair()
    output = model(**batch)
    torch.testing.assert_close(output.loss, by_hand(model, batch), rtol=1e-4, atol=0)
    weight = model.config.idm_weight
    parts = output.soft_dtw_divergence + weight * (output.idm_clean + output.idm_perturbed)
    torch.testing.assert_close(output.loss, parts)


def test_frozen_group_norm_front_ends_do_not_count_padding(family):
    model = build_laser(family)
    model.num_frozen_layers = 2
    batch = make_pair()
    torch.testing.assert_close(model(**batch).loss, by_hand(model, batch), rtol=1e-4, atol=0)


def test_one_view_is_what_the_encoder_says(family, encoder_options):
    model = build_laser(family, **encoder_options)
    batch = make_pair()
    view = {name: batch[name] for name in ("input_values", "attention_mask")}
    output = model(**view, output_hidden_states=True)
    plain = model.base_model(**view)
    assert torch.equal(output.last_hidden_state, plain.last_hidden_state)
    assert output.loss is None and len(output.hidden_states) == 4
    torch.testing.assert_close(output.projections.norm(dim=-1), torch.ones(2, 12))
    as_tuple = model(**batch, return_dict=False)
    torch.testing.assert_close(as_tuple[0], model(**batch).loss)


def test_gradients_are_those_without_freezing_above_and_none_below(family):
    model = build_laser(family, **STABLE, **NO_DROPOUT).train()
    batch = make_pair()
    model(**batch).loss.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.num_frozen_layers = 2
    model(**batch).loss.backward()
    left = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert {n.split(".layers.")[1][0] for n in left if ".layers." in n} == {"2"}
    assert any("laser_head" in name for name in left) and len(left) < len(wanted)
    for name, gradient in left.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-5, msg=name)


def test_given_lower_states_replace_the_lower_layers(family):
    model = build_laser(family)
    model.num_frozen_layers = 2
    batch = make_pair()
    wanted = model(**batch).loss
    states = model.lower_states(batch["input_values"], batch["attention_mask"])
    assert not states.requires_grad and states.shape == (2, 12, 16)
    silent = batch | {"input_values": torch.zeros_like(batch["input_values"])}
    torch.testing.assert_close(model(**silent, lower_states=states).loss, wanted)
    with pytest.raises(ValueError, match=r"shape \(2, 9, 16\); expected \(2, 12, 16\)"):
        model(**batch, lower_states=states[:, :9])
    model.num_frozen_layers = None
    with pytest.raises(ValueError, match="no layer is frozen"):
        model(**batch, lower_states=states)
    with pytest.raises(ValueError, match="no layers run without gradients"):
        model.lower_states(batch["input_values"])


def test_the_norm_below_the_layers_can_train(family):
    model = build_laser(family, **NO_DROPOUT).train()
    model.num_frozen_layers = 2
    model.train_encoder_norm = True
    output = model(**make_pair())
    output.loss.backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None}
    assert any("encoder.layer_norm" in name for name in moved)
    assert not any(f"layers.{k}." in name for name in moved for k in (0, 1))
    assert not model.base_model.encoder.layers[1].training
    model.train_encoder_norm = False
    assert not model.base_model.encoder.layer_norm.weight.requires_grad


def test_the_teacher_of_score_stays_and_the_student_learns(family):
    model = build_laser(family, score=True, **STABLE, hidden_dropout=0.5)
    model.num_frozen_layers = 1
    batch = make_pair()
    with pytest.raises(ValueError, match=r"no teacher.*call make_teacher\(\)"):
        model(**batch)
    model.make_teacher()
    before = copy.deepcopy(model.teacher.state_dict())
    assert all(not p.requires_grad for p in model.teacher.parameters())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model.train()(**batch).loss.backward()
        optimizer.step()
    assert not any(module.training for module in model.teacher.modules())
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    weight = "encoder.layers.2.final_layer_norm.weight"
    assert not torch.equal(model.base_model.state_dict()[weight], before[weight])
    assert model.teacher.encoder.layers[0] is model.base_model.encoder.layers[0]
    assert model.teacher.encoder.layers[1] is not model.base_model.encoder.layers[1]


def test_score_in_eval_mode_gives_the_first_view_to_the_teacher():
    model = build_laser("hubert", score=True, **STABLE)
    model.make_teacher()
    with torch.no_grad():
        for parameter in model.base_model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_pair()
    wanted = by_hand(model, batch, model.teacher)
    torch.testing.assert_close(model(**batch).loss, wanted, rtol=1e-4, atol=1e-6)
    assert (wanted - by_hand(model, batch)).abs() > 1e-3


def test_a_coin_decides_who_hears_what_in_training():
    model = build_laser("hubert", score=True, **NO_DROPOUT)
    model.make_teacher()
    with torch.no_grad():
        for parameter in model.base_model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_pair()

    def losses():
        torch.manual_seed(5)
        return [model.train()(**batch).loss.item() for _ in range(12)]

    found = losses()
    assert len(set(found)) == 2  # who hears which waveform
    assert 2 < found.count(found[0]) < 10
    assert losses() == found


def test_a_teacher_of_other_frozen_layers_is_refused():
    model = build_laser("hubert", score=True)
    model.make_teacher()
    model.num_frozen_layers = 1
    with pytest.raises(ValueError, match="made with None frozen layers, now 1 are"):
        model(**make_pair())


def test_the_teacher_moves_with_the_model():
    model = build_laser("hubert", score=True)
    model.num_frozen_layers = 1
    model.make_teacher()
    model.double()
    assert {p.dtype for p in model.teacher.parameters()} == {torch.float64}
    batch = {n: v.double() if v.is_floating_point() else v for n, v in make_pair().items()}
    assert model(**batch).loss.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"perturbed_input_values": torch.zeros(3, 4000), "perturbed_attention_mask": None},
         "hold 2 and 3 utterances"),
        ({"output_attentions": True}, "of one view: pass one view"),
        ({"perturbed_input_values": None, "lower_states": torch.zeros(1)}, "leave them out"),
    ],
)
def test_refuses_inputs_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        build_laser("hubert")(**(make_pair() | change))


def test_an_encoder_that_repeats_one_frame_shows_as_collapse():
    torch.manual_seed(0)
    frames = normalize(torch.randn(2, 30, 16), dim=-1)
    lengths = torch.tensor([30, 20])
    mean, spread = pairwise_cosine(frames, lengths)
    for row, count in enumerate(lengths.tolist()):
        cosines = frames[row, :count] @ frames[row, :count].T
        others = cosines[~torch.eye(count, dtype=torch.bool)].double()
        assert mean[row].item() == pytest.approx(others.mean().item(), abs=1e-6)
        assert spread[row].item() == pytest.approx(others.std(correction=0).item(), abs=1e-6)
    mean, spread = pairwise_cosine(frames[:, :1].repeat(1, 30, 1))
    torch.testing.assert_close(mean.float(), torch.ones(2))
    assert (spread < 1e-3).all()
    assert pairwise_cosine(frames[:, :1])[0].isnan().all()


def test_the_projection_of_score_for_wavlm_has_a_relu():
    head = build_laser("wavlm", score=True).laser_head
    states = torch.randn(2, 5, 16)
    inner = (states @ head.projection.weight.T + head.projection.bias).clamp_min(0)
    wanted = normalize(inner @ head.output.weight.T + head.output.bias, dim=-1)
    torch.testing.assert_close(head(states), wanted)
