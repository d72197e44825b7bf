import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from hf_rspin.losses import spin_loss

from .conftest import NO_DROPOUT, STABLE, build, make_batch

FRAMES, SHORT_FRAMES = 12, 8  # of 4000 and of 2800 samples


def by_hand(model, batch, spin_layer, auxiliary_layer):
    """Compute both losses from utterances that go through the encoder alone and unpadded."""
    spin_inputs, auxiliary_inputs = [], []
    for view in ("", "perturbed_"):
        lengths = batch[view + "attention_mask"].sum(1)
        states = [
            model.base_model(wave[None, :length], output_hidden_states=True)
            for wave, length in zip(batch[view + "input_values"], lengths, strict=True)
        ]
        for layer, inputs in ((spin_layer, spin_inputs), (auxiliary_layer, auxiliary_inputs)):
            layers = [[*state.hidden_states[:-1], state.last_hidden_state] for state in states]
            inputs.append(torch.cat([hidden[layer][0] for hidden in layers]))
    codebook = normalize(model.spin_head.codebook.weight, dim=1)
    projections = [normalize(model.spin_head.projection(h), dim=1) for h in spin_inputs]
    spin = spin_loss(*projections, codebook).loss
    labels = torch.cat([batch["labels"][0], batch["labels"][1, :SHORT_FRAMES]])
    scores = [model.auxiliary_head(h) for h in auxiliary_inputs]
    return spin, sum(cross_entropy(s, labels) for s in scores) / 2


@pytest.mark.parametrize("layers", [(-1, -1), (3, 2), (1, -3), (0, 3)])
def test_losses_are_over_valid_frames_of_the_chosen_layers(family, layers):
    model = build(family, **STABLE, spin_layer=layers[0], auxiliary_layer=layers[1])
    batch = make_batch(model)
    output = model(**batch)
    spin, auxiliary = by_hand(model, batch, *layers)
    torch.testing.assert_close(output.spin_loss, spin, rtol=1e-4, atol=0)
    torch.testing.assert_close(output.auxiliary_loss, auxiliary, rtol=1e-4, atol=0)
    torch.testing.assert_close(output.loss, output.spin_loss + 5 * output.auxiliary_loss)
    assert output.num_frames == FRAMES + SHORT_FRAMES


def test_one_view(family, encoder_options):
    model = build(family, **encoder_options)
    batch = make_batch(model)
    output = model(batch["input_values"], batch["attention_mask"], output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, FRAMES, 16)
    assert len(output.hidden_states) == 4
    assert output.loss is None
    projections = normalize(model.spin_head.projection(output.last_hidden_state), dim=-1)
    codes = normalize(model.spin_head.codebook.weight, dim=-1)
    torch.testing.assert_close(output.code_logits, projections @ codes.T)
    wanted = output.code_logits.argmax(-1)
    wanted[1, SHORT_FRAMES:] = -1
    assert torch.equal(output.units, wanted)
    without = model(batch["input_values"])
    assert without.hidden_states is None and (without.units >= 0).all()


def test_two_views_describe_the_clean_one(family):
    model = build(family)
    batch = make_batch(model)
    clean = {name: batch[name] for name in ("input_values", "attention_mask")}
    one = model(**clean, output_hidden_states=True)
    two = model(**batch, output_hidden_states=True)
    for name in ("last_hidden_state", "code_logits"):
        torch.testing.assert_close(two[name], one[name])
    assert torch.equal(two.units, one.units)
    torch.testing.assert_close(two.hidden_states, one.hidden_states)
    assert not two.code_logits.requires_grad
    as_tuple = model(**batch, return_dict=False)
    torch.testing.assert_close(as_tuple[0], two.loss)


def test_views_padded_differently_give_the_same_as_one_batch(family):
    model = build(family, **STABLE)
    batch = make_batch(model)
    wanted = model(**batch)
    longer = {
        name: torch.nn.functional.pad(batch[name], (0, 100))  # no whole frame more
        for name in ("perturbed_input_values", "perturbed_attention_mask")
    }
    found = model(**(batch | longer))
    for name in ("loss", "spin_loss", "auxiliary_loss"):
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-6)


def test_plain_spin_has_no_auxiliary_head(family):
    model = build(family, num_pseudo_labels=None)
    assert not any("auxiliary" in name for name in model.state_dict())
    output = model(**make_batch(model))
    assert output.auxiliary_loss is None
    torch.testing.assert_close(output.loss, output.spin_loss)


def test_each_loss_can_be_switched_off():
    model = build("hubert", spin_loss_weight=0.0)
    output = model(**make_batch(model))
    assert output.spin_loss is None and output.accuracy is None
    torch.testing.assert_close(output.loss, 5 * output.auxiliary_loss)
    model = build("hubert", auxiliary_loss_weight=0.0, spin_loss_weight=2.0)
    batch = make_batch(model)
    output = model(**batch)
    assert output.auxiliary_loss is None
    torch.testing.assert_close(output.loss, 2 * output.spin_loss)
    del batch["labels"]
    torch.testing.assert_close(model(**batch).loss, output.loss)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, {"labels": None}, "labels are missing for the auxiliary loss"),
        ({}, {"labels": torch.zeros(2, 9, dtype=torch.long)}, r"\(2, 9\); expected \(2, 12\)"),
        ({}, {"perturbed_input_values": torch.zeros(2, 5000), "perturbed_attention_mask": None},
         "views have .*crop both alike"),
        ({}, {"perturbed_input_values": None}, "got labels with one view only"),
        ({"num_pseudo_labels": None}, {"labels": torch.zeros(2, 12)}, "has no auxiliary head"),
        ({"spin_loss_weight": 0, "auxiliary_loss_weight": 0}, {}, "all losses are off"),
    ],
)
def test_refuses_inputs_that_do_not_fit(options, change, message):
    model = build("hubert", **options)
    with pytest.raises(ValueError, match=message):
        model(**(make_batch(model) | change))


def test_unlabelled_frames_count_for_spin_only():
    model = build("hubert")
    batch = make_batch(model)
    batch["labels"][:, ::2] = -100
    output = model(**batch)
    keep = batch["labels"].clone()
    batch["labels"][:, 1::2] = -100
    assert output.num_frames == FRAMES + SHORT_FRAMES
    assert model(**batch).auxiliary_loss == 0  # nothing labelled, and no NaN
    batch["labels"] = keep
    torch.testing.assert_close(model(**batch).auxiliary_loss, output.auxiliary_loss)


def test_the_codebook_keeps_unit_rows_while_it_trains(family):
    model = build(family, **NO_DROPOUT).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    batch = make_batch(model)
    weight = model.spin_head.codebook.weight
    model(**batch).loss.backward()
    optimizer.step()
    assert ((weight.norm(dim=1) - 1).abs() > 1e-3).any()
    units = model.eval()(batch["input_values"]).units
    model.train()(**batch)
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(6))
    assert torch.equal(model.eval()(batch["input_values"]).units, units)


def test_two_forwards_before_one_backward_add_up():
    model = build("hubert", **NO_DROPOUT).train()
    batch = make_batch(model)
    model(**batch).loss.backward()
    once = model.spin_head.codebook.weight.grad.clone()
    model.zero_grad()
    (model(**batch).loss + model(**batch).loss).backward()
    torch.testing.assert_close(model.spin_head.codebook.weight.grad, 2 * once)


def test_every_parameter_gets_a_gradient(family):
    model = build(family, **NO_DROPOUT).train()
    model(**make_batch(model)).loss.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    untrained = {n for n, _ in model.named_parameters()} - trained.keys()
    assert untrained == {f"{family}.masked_spec_embed"}  # frames are never masked here
    assert all(parameter.grad is not None for parameter in trained.values())


def test_bfloat16_autocast_keeps_the_losses_in_float32(family):
    model = build(family, **NO_DROPOUT).train()
    batch = make_batch(model)
    wanted = model(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**batch)
    for name in ("loss", "spin_loss", "auxiliary_loss", "code_logits"):
        assert output[name].dtype == torch.float32, name
    # a random encoder hardly tells frames apart: targets are sensitive, class scores are not
    assert output.auxiliary_loss.item() == pytest.approx(wanted.auxiliary_loss.item(), rel=0.02)
    assert output.spin_loss.item() == pytest.approx(wanted.spin_loss.item(), rel=0.5)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_frames_that_are_valid_in_one_view_only_take_no_part():
    model = build("hubert", **STABLE)
    batch = make_batch(model)
    alone = {n: v for n, v in batch.items() if "mask" not in n}
    for clean, perturbed in ((3000, 2000), (2000, 3000)):
        masks = {}
        for name, samples in (("attention_mask", clean), ("perturbed_attention_mask", perturbed)):
            masks[name] = torch.zeros(2, 4000, dtype=torch.long)
            masks[name][:, :samples] = 1
        output = model(**(alone | masks))
        frames = (2000 - 400) // 320 + 1  # those of the shorter view
        assert output.num_frames == 2 * frames
        cut = {n: v[:, :frames] if n == "labels" else v for n, v in alone.items()}
        # every view is encoded under its own mask
        states = [
            model.base_model(alone[prefix + "input_values"], masks[prefix + "attention_mask"])
            .last_hidden_state[:, :frames]
            .flatten(0, 1)
            for prefix in ("", "perturbed_")
        ]
        wanted = model._spin_loss(*states, model.spin_head)["spin_loss"]
        torch.testing.assert_close(output.spin_loss, wanted)
        scores = model.auxiliary_head(torch.cat(states))
        wanted = cross_entropy(scores, cut["labels"].flatten().repeat(2))
        torch.testing.assert_close(output.auxiliary_loss, wanted)
