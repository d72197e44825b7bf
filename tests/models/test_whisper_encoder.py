"""Whisper's encoder as a source of frames: windows, their pieces, and loading."""

import random

import numpy as np
import pytest
import torch
from transformers import (
    HubertConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from hf_rspin.models.whisper_encoder import (
    CONTEXT,
    FRAME_SHIFT,
    FRAME_WINDOW,
    GAP,
    WINDOW,
    WhisperFrames,
    _pack,
    _pieces,
    is_whisper,
)

TINY = {
    "d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 24,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "vocab_size": 30,
    "num_mel_bins": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1,
}  # fmt: skip
LONGEST = (WINDOW - FRAME_WINDOW) // FRAME_SHIFT


def save(folder, model_class=WhisperForConditionalGeneration, **options):
    torch.manual_seed(0)
    model = model_class(WhisperConfig(**TINY)).eval()
    model.save_pretrained(folder, **options)
    WhisperFeatureExtractor(feature_size=20).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save(folder, WhisperEncoder)
    return WhisperFrames.from_pretrained(folder, bf16=False)


def speech(seconds, seed=0):
    """Noise whose loudness changes every quarter of a second."""
    generator = np.random.default_rng(seed)
    samples = int(seconds * 16000)
    loudness = np.repeat(generator.uniform(0.01, 0.3, samples // 4000 + 1), 4000)[:samples]
    return (loudness * generator.normal(size=samples)).astype(np.float32)


def directly(frames, waveform, layers):
    """States at HuBERT's frames, from one window with the waveform at its beginning."""
    features = frames.extractor(waveform, sampling_rate=16000, return_tensors="pt").input_features
    states = frames.model(features, output_hidden_states=True).hidden_states
    count = (len(waveform) - 400) // 320 + 1
    whole = [states[layer][0] for layer in layers]  # (1500, dim)
    return torch.stack([0.375 * s[:count] + 0.625 * s[1 : count + 1] for s in whole])


@pytest.mark.parametrize("samples", [400, 719, 720, 52_345])
def test_one_utterance_alone_is_the_encoder_itself(frames, samples):
    waveform = speech(4)[:samples]
    (found,) = frames.states([waveform], [0, 2, 3])
    assert found.dtype == torch.float32
    with torch.no_grad():
        wanted = directly(frames, waveform[: (samples - 400) // 320 * 320 + 400], [0, 2, 3])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_all_hidden_states_and_their_sizes(frames):
    assert (frames.num_layers, frames.dim) == (4, 16)
    waveforms = [speech(1.0, 1), speech(2.5, 2)]
    found = frames.states(waveforms)
    assert [one.shape for one in found] == [(4, 49, 16), (4, 124, 16)]
    for one, other in zip(frames.states(waveforms, [3, 1]), found, strict=True):
        assert torch.equal(one, other[[3, 1]])
    assert frames.states([]) == []


def test_neighbours_in_a_window_have_their_own_places(frames):
    """In the input of the layers only convolutions mix: the place in the window is all else.

    That place is a sinusoid, which is taken out here; what remains is the utterance alone.
    """
    waveforms = [speech(3.0, 1), speech(4.0, 2), speech(2.0, 3)]
    positions = frames.model.embed_positions.weight.detach()
    place = 0
    for waveform, found in zip(waveforms, frames.states(waveforms, [0]), strict=True):
        (alone,) = frames.states([waveform], [0])
        count = found.shape[1]

        def embedding(first, count=count):
            rows = positions[first : first + count + 1]
            return 0.375 * rows[:-1] + 0.625 * rows[1:]

        own = found[0] - embedding(place)
        wanted = alone[0] - embedding(0)
        # a spectrogram is relative to the loudest bin of its window: quiet bins may be clipped
        assert (own - wanted).abs().mean() < 0.1 * wanted.std()
        place += -(-(320 * count + 400 + GAP) // 320)


def test_a_long_utterance_comes_back_whole(frames):
    waveform = speech(75)
    (found,) = frames.states([waveform], [0, 3])
    assert found.shape == (2, (len(waveform) - 400) // 320 + 1, 16)
    # each part alone, with its context, is what was kept of it
    for first, last, start, stop in _pieces(found.shape[1], LONGEST):
        part = waveform[320 * first : 320 * (last - 1) + 400]
        (alone,) = frames.states([part], [0, 3])
        torch.testing.assert_close(found[:, start:stop], alone[:, start - first : stop - first],
                                   rtol=1e-3, atol=1e-4)  # fmt: skip


def test_windows_of_an_utterance_overlap_by_their_contexts():
    parts = list(_pieces(5000, LONGEST))
    for (_, last, _, stop), (first, _, start, _) in zip(parts, parts[1:], strict=False):
        assert stop == start and last - stop == CONTEXT and start - first == CONTEXT


def test_packing_keeps_every_frame_once_and_fits_windows():
    draws = random.Random(0)
    for _ in range(200):
        kinds = [lambda: draws.randint(1, 20), lambda: draws.randint(1, 1500),
                 lambda: draws.randint(LONGEST - 3, LONGEST + 3),
                 lambda: draws.randint(1000, 9000)]  # fmt: skip
        counts = [draws.choice(kinds)() for _ in range(draws.randint(1, 12))]
        seen = [np.zeros(count, int) for count in counts]
        for window in _pack(counts):
            end = None
            for piece in window:
                seen[piece.utterance][piece.start : piece.stop] += 1
                assert 0 <= piece.first <= piece.start < piece.stop <= piece.last
                assert piece.last <= counts[piece.utterance]
                assert piece.place % FRAME_SHIFT == 0
                assert end is None or piece.place - end >= GAP
                end = piece.place + FRAME_SHIFT * (piece.last - piece.first - 1) + FRAME_WINDOW
                # frame i needs Whisper's i and i + 1
                assert piece.place // FRAME_SHIFT + piece.last - piece.first < 1500
                # inner cuts have context on both sides
                count = counts[piece.utterance]
                assert piece.start - piece.first >= (CONTEXT if piece.start else 0)
                assert piece.last - piece.stop >= (CONTEXT if piece.stop < count else 0)
            assert end <= WINDOW
        assert all((one == 1).all() for one in seen)


def test_short_utterances_share_windows():
    assert len(list(_pack([149] * 8))) == 1 and len(list(_pack([149] * 9))) == 2


def test_a_waveform_below_one_frame_is_refused(frames):
    message = r"^a waveform has 399 samples; one frame takes 400: leave utterances this short out"
    with pytest.raises(ValueError, match=message):
        frames.states([speech(1), speech(1)[:399]])


@pytest.mark.parametrize("model_class", [WhisperForConditionalGeneration, WhisperModel,
                                         WhisperEncoder])  # fmt: skip
def test_whole_models_load_as_their_encoder(model_class, tmp_path):
    model = save(tmp_path, model_class)
    encoder = model.get_encoder() if model_class is not WhisperEncoder else model
    loaded = WhisperFrames.from_pretrained(tmp_path, bf16=False)
    assert type(loaded.model) is WhisperEncoder and not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    wanted = WhisperFrames(encoder, loaded.extractor, bf16=False)
    waveforms = [speech(1.5)]
    assert torch.equal(loaded.states(waveforms)[0], wanted.states(waveforms)[0])


@pytest.mark.parametrize("model_class", [WhisperForConditionalGeneration, WhisperEncoder])
@pytest.mark.parametrize("what", ["missing", "nan"])
def test_weights_that_are_not_whole_are_refused(model_class, what, tmp_path):
    model = save(tmp_path, model_class)
    state = model.state_dict()
    name = next(key for key in state if key.endswith("layers.2.fc1.weight") and
                "decoder" not in key)  # fmt: skip
    if what == "missing":
        del state[name]
    else:
        state[name] = torch.full_like(state[name], torch.nan)
    save(tmp_path, model_class, state_dict=state)
    message = {"missing": "1 weights are missing or of another size, such as layers.2.fc1.weight",
               "nan": "NaN or infinite weights, such as layers.2.fc1.weight"}[what]  # fmt: skip
    with pytest.raises(ValueError, match=message):
        WhisperFrames.from_pretrained(tmp_path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    save(tmp_path, WhisperEncoder)
    broken = WhisperFrames.from_pretrained(tmp_path, bf16=False)
    broken.model.layer_norm.weight[0] = torch.inf
    with pytest.raises(ValueError, match="Whisper encoder gives NaN or infinite values; expected"):
        broken.states([speech(1)])


def test_bfloat16_is_near_float32(frames):
    rough = WhisperFrames(frames.model, frames.extractor, bf16=True)
    found, wanted = (one.states([speech(2)], [3])[0] for one in (rough, frames))
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    assert (found - wanted).abs().max() < 0.1


def test_what_is_whisper():
    assert is_whisper(WhisperConfig()) and is_whisper({"model_type": "whisper"})
    assert not is_whisper(HubertConfig()) and not is_whisper({})
