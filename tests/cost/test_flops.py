"""Operations are counted whichever way attention is computed, and nothing is disturbed."""

import pytest
import torch
from torch import nn
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.adapters import add_lora
from hf_rspin.cost import flop_counter, forward_flops
from hf_rspin.models.attention import attend, choose_attention
from hf_rspin.models.blockwise_attention import blockwise_attention

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def hubert(attention="sdpa"):
    return HubertModel(HubertConfig(**SIZES, attn_implementation=attention))


def by_hand(seconds, config):
    """Count twice the multiplications of every product of a HuBERT."""
    frames, channels, total = round(16_000 * seconds), 1, 0
    layers = zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
    for size, kernel, stride in layers:
        frames = (frames - kernel) // stride + 1
        total += 2 * frames * size * channels * kernel
        channels = size
    hidden, inner = config.hidden_size, config.intermediate_size
    in_group = hidden // config.num_conv_pos_embedding_groups
    total += 2 * frames * channels * hidden
    # an even kernel gives one more frame
    total += 2 * (frames + 1) * hidden * in_group * config.num_conv_pos_embeddings
    attention = 4 * 2 * frames * hidden**2 + 2 * 2 * frames**2 * hidden
    return total + config.num_hidden_layers * (attention + 2 * 2 * frames * hidden * inner)


def test_hubert_base_is_what_is_known_of_it():
    config = HubertConfig()
    assert by_hand(10, config) == 148_133_046_272  # 138.95 GFLOP without attention
    with torch.device("meta"):  # no weights are drawn: whatever is in memory will do
        model = HubertModel(config)
    model.to_empty(device="cpu")
    assert forward_flops(model) == by_hand(1, config) == 13_822_748_672


@pytest.mark.parametrize("seconds", [0.025, 1, 2.5])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "ours"])
def test_every_attention_counts_as_by_hand(attention, seconds):
    model = choose_attention(hubert()) if attention == "ours" else hubert(attention)
    assert forward_flops(model, seconds) == by_hand(seconds, model.config)


def test_wavlm_counts_the_same_with_our_layers():
    model = WavLMModel(WavLMConfig(**SIZES))
    stock = forward_flops(model)
    assert stock > by_hand(1, model.config)  # the gates of the position bias come on top
    assert forward_flops(choose_attention(model)) == pytest.approx(stock, rel=0.02)


@pytest.mark.parametrize("has_bias", [False, True])
def test_attention_that_trains_counts_in_whatever_threads_it_works(has_bias):
    shape, threads = (2, 4, 300, 8), torch.get_num_threads()
    query, key, value = torch.randn(3, *shape).requires_grad_()
    bias = torch.randn(1, 4, 300, 300, requires_grad=True) if has_bias else None
    expected = 2 * 2 * 2 * 4 * 300 * 300 * 8
    torch.set_num_threads(2)
    try:
        for function in (attend, blockwise_attention):
            with flop_counter() as counter:
                function(query, key, value, dropout=0.1, position_bias=bias)
            assert counter.get_total_flops() == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_an_adapter_counts():
    model = hubert()
    before = forward_flops(model)
    adapted = add_lora(model, rank=4)
    assert forward_flops(adapted.get_base_model()) > before


def test_whisper_reads_whole_windows():
    config = WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=24, num_mel_bins=8
    )
    model = WhisperEncoder(config)
    assert forward_flops(model, 0.1) == forward_flops(model, 30) == forward_flops(model, 31) / 2


def test_counting_changes_neither_the_modes_nor_what_is_drawn_next():
    model = hubert()
    model.train()
    model.encoder.layers[0].eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    forward_flops(model)
    assert torch.equal(torch.rand(4), expected)
    assert [module.training for module in model.modules()] == modes


def test_a_model_that_fails_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    with pytest.raises(RuntimeError):
        forward_flops(model)
    assert model[1].training


@pytest.mark.parametrize("seconds", [0, 0.02, -1, float("nan"), float("inf")])
def test_less_than_a_frame_is_refused(seconds):
    with pytest.raises(ValueError, match="expected 0.025"):
        forward_flops(hubert(), seconds)
