"""Attention by blocks: against the plain form, with masks, biases, dropout and half precision."""

import copy

import pytest
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ConformerConfig,
    Wav2Vec2ConformerModel,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from hf_rspin.models import blockwise_attention as blockwise
from hf_rspin.models.attention import NAME, attend, choose_attention
from hf_rspin.models.blockwise_attention import blockwise_attention, draw_signs
from hf_rspin.models.faster_training import FastDropout, speed_up_training

from .conftest import NO_DROPOUT, SIZES

BATCH, HEADS, FRAMES, DIM = 3, 4, 21, 8


def plain(query, key, value, mask=None, kept=None, dropout=0.0, gate=None, bias=None):
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + gate * bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    if kept is not None:
        weights = weights * kept / (1 - dropout)
    return weights @ value


def inputs(dtype=torch.float64, bias=False):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=dtype)  # noqa: E731
    tensors = [draw(BATCH, FRAMES, HEADS, DIM).transpose(1, 2) for _ in range(3)]
    if bias:
        tensors += [draw(BATCH, HEADS, FRAMES, 1), draw(1, HEADS, FRAMES, FRAMES)]
    return [tensor.requires_grad_() for tensor in tensors]


def padding(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    mask[1, ..., 13:] = False
    return mask


@pytest.fixture(params=[(1, 1), (1, 3), (2, 2), (10**6, 1)], ids=str)
def blocks(request, monkeypatch):
    """Heads in a block, and threads."""
    heads, threads = request.param
    monkeypatch.setattr(blockwise, "BLOCK_ENTRIES", heads * FRAMES**2 + 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    yield
    torch.set_num_threads(before)


def test_threads_change_no_bit_and_leave_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK_ENTRIES", FRAMES**2 + 1)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        tensors = inputs(bias=True)
        torch.manual_seed(0)
        output = blockwise_attention(*tensors[:3], None, 0.2, *tensors[3:])
        found.append([output, *torch.autograd.grad(output.square().sum(), tensors)])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    with pytest.raises(RuntimeError):  # what goes wrong in a thread is raised
        torch.set_num_threads(2)
        blockwise_attention(*inputs()[:2], torch.ones(BATCH, HEADS, FRAMES - 1, DIM).double())
    torch.set_num_threads(before)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "mask", [None, padding((BATCH, 1, 1, FRAMES)), padding((BATCH, HEADS, FRAMES, FRAMES))]
)
def test_blocks_equal_the_plain_form_and_its_gradients(blocks, mask, bias):
    tensors = inputs(bias=bias)
    query, key, value, *rest = tensors
    found = blockwise_attention(query, key, value, mask, 0.0, *rest)
    wanted = plain(query, key, value, mask, gate=rest[0] if bias else None,
                   bias=rest[1] if bias else None)  # fmt: skip
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(found, wanted)
    pairs = zip(*(torch.autograd.grad((x * weight).sum(), tensors) for x in (found, wanted)),
                strict=True)  # fmt: skip
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("bias", [False, True])
def test_dropout_equals_the_plain_form_with_the_same_masks(blocks, bias):
    tensors = inputs(bias=bias)
    torch.manual_seed(3)
    found = blockwise_attention(*tensors[:3], None, 0.3, *tensors[3:])
    # with values that are the identity, the output is the dropped weights themselves
    eye = torch.eye(FRAMES, dtype=torch.float64).expand(BATCH, HEADS, FRAMES, FRAMES)
    torch.manual_seed(3)
    weights = blockwise_attention(*tensors[:2], eye, None, 0.3, *tensors[3:])
    kept = weights != 0
    assert abs(kept.double().mean() - 0.7) < 0.02
    options = {"gate": tensors[3], "bias": tensors[4]} if bias else {}
    wanted = plain(*tensors[:3], None, kept, 0.3, **options)
    torch.testing.assert_close(found, wanted)
    for one, other in zip(*(torch.autograd.grad(x.square().sum(), tensors)
                            for x in (found, wanted)), strict=True):  # fmt: skip
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [False, True])
def test_half_precision_is_as_close_as_the_plain_form(dtype, bias):
    exact = inputs(bias=bias)
    half = [tensor.detach().to(dtype).requires_grad_() for tensor in exact]
    options = {"gate": half[3], "bias": half[4]} if bias else {}
    reference = {"gate": exact[3], "bias": exact[4]} if bias else {}
    truth = torch.autograd.grad(plain(*exact[:3], **reference).square().sum(), exact)
    found = attend(*half[:3], None, 0.0, *half[3:])
    assert found.dtype == dtype
    grads = torch.autograd.grad(found.float().square().sum(), half)
    stock = torch.autograd.grad(plain(*half[:3], **options).float().square().sum(), half)
    for right, ours, theirs in zip(truth, grads, stock, strict=True):
        error = lambda x: (x.double() - right).norm() / right.norm()  # noqa: B023, E731
        assert error(ours) < 1.5 * error(theirs) + 1e-3


@pytest.mark.parametrize("dropout", [0.05, 0.1, 0.5, 0.9])
def test_signs_have_the_probability_asked_for(dropout):
    torch.manual_seed(0)
    negative = draw_signs((1000, 1001), dropout) < 0
    assert abs(negative.double().mean() - dropout) < 5 * (dropout * (1 - dropout) / 1e6) ** 0.5
    assert abs(torch.corrcoef(negative[:, :4].double().T).fill_diagonal_(0)).max() < 0.15
    torch.manual_seed(0)
    assert torch.equal(negative, draw_signs((1000, 1001), dropout) < 0)


def test_the_output_of_dropout_has_the_right_mean():
    torch.manual_seed(0)
    query, key, value = (t.detach().requires_grad_() for t in inputs())
    mean = torch.stack([attend(query, key, value, None, 0.2) for _ in range(600)]).mean(0)
    assert (mean - plain(query, key, value)).abs().max() < 0.12


def test_a_bias_of_each_utterance_without_a_gate(blocks):
    query, key, value = tensors = inputs()
    bias = torch.randn(BATCH, HEADS, FRAMES, FRAMES, dtype=torch.float64, requires_grad=True)
    found = blockwise_attention(query, key, value, None, 0.0, None, bias)
    wanted = plain(query, key, value, gate=1.0, bias=bias)
    torch.testing.assert_close(found, wanted)
    pairs = zip(*(torch.autograd.grad(x.square().sum(), [*tensors, bias]) for x in (found, wanted)),
                strict=True)  # fmt: skip
    for one, other in pairs:
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(attend(query, key, value, None, 0.0, None, bias), wanted)


FAMILIES = {
    "hubert": (HubertModel, HubertConfig),
    "wav2vec2": (Wav2Vec2Model, Wav2Vec2Config),
    "wavlm": (WavLMModel, WavLMConfig),
    "conformer": (Wav2Vec2ConformerModel, Wav2Vec2ConformerConfig),  # its own position bias
}


def build(family, **options):
    torch.manual_seed(0)
    model_class, config_class = FAMILIES[family]
    return model_class(config_class(**SIZES, **NO_DROPOUT, activation_dropout=0.0, layerdrop=0.0,
                                    apply_spec_augment=False, **options))  # fmt: skip


@pytest.mark.parametrize(
    ("family", "bf16"), [*((f, False) for f in FAMILIES), ("hubert", True), ("wavlm", True)]
)
def test_a_faster_encoder_has_equal_outputs_and_gradients(family, bf16):
    stock = build(family, **({"conformer_conv_dropout": 0.0} if family == "conformer" else {}))
    with torch.no_grad():  # far from uniform attention
        for name, parameter in stock.train().named_parameters():
            if "attn" in name or "attention" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    ours = speed_up_training(copy.deepcopy(stock))
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2800:] = 0
    values, found = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1)), []
    for model in (stock, ours):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            states = model(values, attention_mask=mask).last_hidden_state.float()
        (states[0].square().sum() + states[1, :8].square().sum()).backward()
        found.append((states[0], states[1, :8], *(p.grad for p in model.parameters())))
    scale = max(float(grad.norm()) for grad in found[0][2:] if grad is not None)
    for number, (wanted, one) in enumerate(zip(*found, strict=True)):
        if wanted is not None and number < (2 if bf16 else len(found[0])):
            # some gradients cancel to rounding: a bias of keys has none
            error = (one - wanted).norm() / (wanted.norm() + 1e-3 * scale)
            assert error < (0.1 if bf16 else 1e-3), list(stock.state_dict())[number - 2]


def test_the_choice_of_the_user_stays_and_nothing_is_saved(tmp_path):
    assert choose_attention(build("hubert")).config._attn_implementation == NAME
    eager = choose_attention(build("hubert", attn_implementation="eager"))
    assert eager.config._attn_implementation == "eager"
    choose_attention(build("hubert")).save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_maps_are_those_of_eager_attention():
    eager = build("hubert", attn_implementation="eager").eval()
    ours = choose_attention(build("hubert")).eval()
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2800:] = 0
    values = torch.randn(2, 4000)
    wanted, found = (
        model(values, attention_mask=mask, output_attentions=True) for model in (eager, ours)
    )
    for one, other in zip(found.attentions, wanted.attentions, strict=True):
        torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(one[1, :, :8], other[1, :, :8], rtol=1e-4, atol=1e-6)


def test_dropout_modules_are_fast_and_act_in_training_only():
    model = speed_up_training(build("hubert"))
    assert len(speed_up_training(model).feature_extractor._forward_pre_hooks) == 1
    module = FastDropout(0.25)
    states = torch.ones(200, 500, requires_grad=True)
    torch.manual_seed(0)
    output = module(states)
    output.sum().backward()
    assert torch.equal(states.grad, output.detach())
    assert output.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert abs((output == 0).double().mean() - 0.25) < 0.01
    assert torch.equal(module.eval()(states), states)


@pytest.mark.parametrize("reentrant", [None, False, True])
def test_the_convolutions_train_with_and_without_checkpointing(reentrant):
    model = speed_up_training(build("hubert")).train()
    if reentrant is not None:
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model(torch.randn(1, 4000)).last_hidden_state.square().sum().backward()
    first = model.feature_extractor.conv_layers[0].conv.weight.grad
    assert first is not None and first.abs().max() > 0
    assert model.feature_extractor._requires_grad is (reentrant is not None)
