import copy

import pytest
import torch
from transformers import WavLMConfig, WavLMModel

from hf_rspin.models import WavLMSdpaAttention, use_sdpa_attention

from .conftest import NO_DROPOUT, SIZES, STABLE


@pytest.fixture(params=[{}, STABLE], ids=["post-norm", "pre-norm"])
def stock(request):
    """Return a stock encoder whose attention is far from uniform and whose gates differ."""
    torch.manual_seed(0)
    model = WavLMModel(WavLMConfig(**SIZES, **NO_DROPOUT, layerdrop=0.0, **request.param))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "attention" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def inputs():
    """Return a padded batch as keyword arguments, and its valid frames."""
    torch.manual_seed(1)
    mask = torch.ones(2, 4000, dtype=torch.long)
    mask[1, 2800:] = 0
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[1, 8:] = False
    return {"input_values": torch.randn(2, 4000), "attention_mask": mask}, valid


def test_hidden_states_and_gradients_equal_stock(stock, inputs):
    batch, valid = inputs
    ours = use_sdpa_attention(copy.deepcopy(stock))
    results = [model(**batch, output_hidden_states=True) for model in (stock, ours)]
    for wanted, found in zip(*(r.hidden_states for r in results), strict=True):
        torch.testing.assert_close(found[valid], wanted[valid], rtol=1e-4, atol=5e-6)
    for result in results:
        result.last_hidden_state[valid].square().sum().backward()
    pairs = zip(stock.named_parameters(), ours.parameters(), strict=True)
    for (name, wanted), found in pairs:
        if wanted.grad is not None:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_attention_maps_equal_stock(stock, inputs):
    batch, valid = inputs
    ours = use_sdpa_attention(copy.deepcopy(stock))
    wanted, found = (model(**batch, output_attentions=True) for model in (stock, ours))
    assert len(found.attentions) == len(wanted.attentions) == 3
    for expected, maps in zip(wanted.attentions, found.attentions, strict=True):
        torch.testing.assert_close(maps[0], expected[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(maps[1, :, :8], expected[1, :, :8], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        found.last_hidden_state[valid], wanted.last_hidden_state[valid], rtol=1e-4, atol=5e-6
    )


def test_dropout_acts_in_training_only(stock, inputs):
    ours = use_sdpa_attention(copy.deepcopy(stock))
    for layer in ours.encoder.layers:
        layer.attention.dropout = 0.5
    batch, _ = inputs
    first, second = (ours(**batch).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    ours.train()
    for output_attentions in (False, True):
        runs = [ours(**batch, output_attentions=output_attentions)[0] for _ in range(2)]
        assert not torch.allclose(*runs)


@pytest.mark.parametrize("name", ["q_proj", "k_proj", "v_proj", "out_proj"])
def test_projections_are_called_as_modules(stock, inputs, name):
    """What stands in a projection's place (LoRA) must act; the stock layer bypasses it."""

    class Doubled(torch.nn.Linear):
        def forward(self, states):
            return 2 * super().forward(states)

    batch, valid = inputs
    ours = use_sdpa_attention(copy.deepcopy(stock))
    before = ours(**batch).last_hidden_state[valid]
    getattr(ours.encoder.layers[1].attention, name).__class__ = Doubled
    assert not torch.allclose(ours(**batch).last_hidden_state[valid], before, atol=1e-3)


def test_parameter_names_stay(stock):
    ours = use_sdpa_attention(copy.deepcopy(stock))
    assert ours.state_dict().keys() == stock.state_dict().keys()
    assert all(isinstance(layer.attention, WavLMSdpaAttention) for layer in ours.encoder.layers)
