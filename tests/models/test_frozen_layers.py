import pytest
import torch

from .conftest import build, make_batch


def forward_layers(model, batch):
    """Run a forward; return its output and each layer's output."""
    states = []
    hooks = [
        layer.register_forward_hook(
            lambda module, args, out: states.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in model.base_model.encoder.layers
    ]
    output = model(**batch)
    for hook in hooks:
        hook.remove()
    return output, states


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nothing_below_is_trained_or_kept_for_the_backward(family, encoder_options, count):
    model = build(family, **encoder_options).train()
    model.num_frozen_layers = count
    output, states = forward_layers(model, make_batch(model))
    assert [state.requires_grad for state in states] == [False] * count + [True] * (3 - count)
    output.loss.backward()
    encoder = model.base_model.encoder
    frozen = [model.base_model.feature_extractor, model.base_model.feature_projection]
    frozen += [encoder.pos_conv_embed, *encoder.layers[:count]]
    assert all(p.grad is None for module in frozen for p in module.parameters())
    for module in [*encoder.layers[count:], model.spin_head, model.auxiliary_head]:
        assert all(p.grad is not None for p in module.parameters())


def test_the_frozen_part_is_deterministic_and_the_rest_drops_out(family):
    model = build(family, hidden_dropout=0.5).train()
    model.num_frozen_layers = 2
    model.train()  # as a trainer does at every step
    batch = make_batch(model)
    (_, first), (_, second) = forward_layers(model, batch), forward_layers(model, batch)
    assert torch.equal(first[1], second[1])
    assert not torch.allclose(first[2], second[2])


def test_same_hidden_states_and_gradients_above_as_without_freezing(family, encoder_options):
    model = build(family, **encoder_options)
    batch = make_batch(model)
    plain, states = forward_layers(model, batch)
    plain.loss.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.num_frozen_layers = 2
    frozen, frozen_states = forward_layers(model, batch)
    frozen.loss.backward()
    for state, expected in zip(frozen_states, states, strict=True):
        torch.testing.assert_close(state, expected)
    left = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert any("layers.2" in name for name in left) and len(left) < len(wanted)
    for name, gradient in left.items():
        torch.testing.assert_close(gradient, wanted[name], msg=name)


def test_gradient_checkpointing_recomputes_only_what_trains():
    model = build("hubert").train()
    model.num_frozen_layers = 2
    model.activation_checkpointing_enable()
    calls = []
    for index, layer in enumerate(model.base_model.encoder.layers):
        layer.attention.register_forward_hook(lambda *_, index=index: calls.append(index))
    model(**make_batch(model)).loss.backward()
    assert calls == [0, 1, 2, 2]


def test_thawing_restores_what_was_trainable(family):
    model = build(family)
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    model.num_frozen_layers = 3
    model.num_frozen_layers = None
    assert {name for name, p in model.named_parameters() if p.requires_grad} == before
    assert all(module.training for module in model.train().modules())


@pytest.mark.parametrize(
    ("heads", "used"),
    [
        ({"spin_layer": 1, "auxiliary_layer": 2}, 2),
        ({"spin_layer": -3, "num_pseudo_labels": None}, 1),
        ({"spin_layer": 0, "auxiliary_layer": 3, "auxiliary_loss_weight": 0.0}, 0),
        ({"spin_layer": 1, "auxiliary_layer": -1}, 3),
    ],
)
def test_what_no_loss_reads_asks_for_no_gradient(family, encoder_options, heads, used):
    # DistributedDataParallel waits for the gradient of every parameter that asks for one
    model = build(family, **encoder_options, **heads).train()
    asking = [any(p.requires_grad for p in layer.parameters())
              for layer in model.base_model.encoder.layers]  # fmt: skip
    assert asking == [True] * used + [False] * (3 - used)
    model.num_frozen_layers = 3
    model.num_frozen_layers = None
    batch = make_batch(model)
    if model.config.auxiliary_loss_weight == 0:
        batch.pop("labels")
    model(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_dropout_of_the_frozen_part_can_stay_active(family, encoder_options):
    model = build(family, **encoder_options, hidden_dropout=0.5)
    model.num_frozen_layers, model.frozen_dropout = 2, True
    batch = make_batch(model)
    model.train()
    (first, states), (_, other) = forward_layers(model, batch), forward_layers(model, batch)
    assert not torch.allclose(states[1], other[1])
    assert [state.requires_grad for state in states] == [False, False, True]
    first.loss.backward()
    assert all(p.grad is None for p in model.base_model.encoder.layers[1].parameters())
    model.eval()
    (_, first), (_, second) = forward_layers(model, batch), forward_layers(model, batch)
    assert torch.equal(first[2], second[2])


@pytest.mark.parametrize("count", [-1, 4, True])
def test_refuses_a_number_the_encoder_does_not_have(count):
    with pytest.raises(ValueError, match="expected 0 to 3"):
        build("hubert").num_frozen_layers = count
