"""SummaryMixing: its formula, padding, heads, and what is refused."""

import pytest
import torch
from torch.nn.functional import gelu

from hf_rspin import SummaryMixing

HALF = 0.5 * (1 + torch.erf(torch.tensor(0.5**0.5))).item()  # share of a normal below 1: GELU(1)


def mixing(kind="full", hidden=8, **options):
    torch.manual_seed(0)
    return SummaryMixing(hidden, kind, **options).eval()


def frames(batch=2, length=7, hidden=8):
    return torch.randn(batch, length, hidden, generator=torch.Generator().manual_seed(1))


def network(head, name, states):
    """Two linear layers, GELU after each, written out."""
    for part in ("in", "out"):
        linear = getattr(head, f"{name}_{part}")
        states = gelu(states @ linear.weight.T + linear.bias)
    return states


def test_full_is_the_formula():
    module, states = mixing(local_sizes=(5, 6), summary_sizes=(7, 3)), frames()
    found, head = module(states), module.heads[0]
    assert module.combine.weight.shape == (8, 6 + 3)
    for row, wanted in zip(states, found, strict=True):
        mean = sum(network(head, "summary", frame) for frame in row) / len(row)
        for frame, one in zip(row, wanted, strict=True):
            both = torch.cat([network(head, "local", frame), mean])
            torch.testing.assert_close(
                one, gelu(module.combine.weight @ both + module.combine.bias)
            )


def test_lite_gives_every_frame_the_mean():
    module, states = mixing("lite"), frames()
    mean = network(module.heads[0], "summary", states).mean(dim=1, keepdim=True)
    torch.testing.assert_close(module(states), mean.expand(-1, 7, -1))
    assert {name.split(".")[2] for name, _ in module.named_parameters()} == {
        "summary_in", "summary_out"
    }  # fmt: skip


def test_numbers_that_can_be_checked_by_hand():
    module = mixing("lite", hidden=1)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, float(parameter.ndim == 2))  # weights 1, biases 0
    states = torch.tensor([[[1.0], [-30.0]]])  # GELU(1) = .8413, and 0 of what is far below 0
    wanted = gelu(torch.tensor(HALF)).item() / 2
    torch.testing.assert_close(module(states), torch.full((1, 2, 1), wanted))
    assert abs(HALF - 0.841345) < 1e-6 and abs(wanted - 0.336505) < 1e-5


@pytest.mark.parametrize("kind", ["full", "lite"])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_padded_utterance_gives_what_it_gives_alone(kind, heads):
    module, states = mixing(kind, heads=heads), frames()
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 4:] = False
    alone = module(states[1:, :4])
    for padding in (0.0, 1e4, float("nan")):
        states[1, 4:] = padding
        torch.testing.assert_close(module(states, valid)[1:, :4], alone)
    assert not torch.allclose(module(states.nan_to_num(3.0))[1:, :4], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_of_numbers_is_the_mask_of_truths(dtype):
    module, states = mixing(), frames()
    valid = torch.arange(7) < torch.tensor([[7], [4]])
    assert torch.equal(module(states, valid.to(dtype)), module(states, valid))


@pytest.mark.parametrize("shape", [(2, 6), (7,), (1, 7), (2, 7, 1)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"the mask has shape .*; expected \(2, 7\), batch and"):
        mixing()(frames(), torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("kind", ["full", "lite"])
def test_an_utterance_that_is_all_padding_is_finite(kind):
    module, states = mixing(kind), frames().requires_grad_()
    valid = torch.tensor([[True] * 7, [False] * 7])
    found = module(states, valid)
    assert torch.isfinite(found).all()
    found.sum().backward()
    assert torch.isfinite(states.grad).all() and not states.grad[1].any()
    if kind == "lite":
        assert not found[1].any()


def test_heads_do_not_see_each_other_before_they_are_combined():
    module, states = mixing(heads=2), frames()
    changed = states.clone()
    changed[..., 4:] += 1
    halves = [
        [head(part, None) for head, part in zip(module.heads, one.chunk(2, -1), strict=True)]
        for one in (states, changed)
    ]
    for before, after in zip(halves[0][0], halves[1][0], strict=True):
        assert torch.equal(before, after)  # of the first head
    assert not torch.equal(halves[0][1][0], halves[1][1][0])
    one, two = (sum(p.numel() for p in mixing(heads=n).heads.parameters()) for n in (1, 2))
    assert (one, two) == (4 * (8 * 8 + 8), 2 * 4 * (4 * 4 + 4))


def test_frames_in_another_order_come_out_in_that_order():
    module, states = mixing(), frames()
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    torch.testing.assert_close(module(states[:, order]), module(states)[:, order])


def test_gradients_are_right():
    module = mixing(hidden=4, heads=2).double()
    valid = torch.tensor([[True, True, True], [True, False, False]])
    states = frames(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: module(x, valid), states)


def test_dropout_acts_in_training_only():
    module, states = mixing(dropout=0.5), frames()
    assert torch.equal(module(states), module(states))
    module.train()
    assert not torch.equal(module(states), module(states))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": "fast"}, "mixing is 'fast'; expected one of full, lite"),
        ({"heads": 3}, r"mixing_heads is 3; expected a positive whole number that divides .*\(8\)"),
        ({"heads": 0}, "mixing_heads is 0"),
        ({"heads": 2.0}, "mixing_heads is 2.0; expected a positive whole number"),
        ({"heads": "2"}, "mixing_heads is '2'"),
        ({"heads": True}, "mixing_heads is True"),
        ({"heads": 2, "local_sizes": (5, 6)}, r"mixing_heads is 2; .* \(5, 6, 8\)"),
        ({"local_sizes": (3,)}, r"sizes of a network of the mixing are \(8, 3\); expected a width"),
        ({"local_sizes": (0, 0)}, r"are \(8, 0, 0\); .* whole numbers above 0"),
        ({"summary_sizes": (3, 2.5)}, r"are \(8, 3, 2.5\)"),
        ({"summary_sizes": 4}, r"are \(8, 4\)"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SummaryMixing(8, **options)
