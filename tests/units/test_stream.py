"""Streams of units: any chunking gives the whole, of any length; else a sentence says why not."""

import logging

import numpy as np
import pytest
import soxr
import torch

from hf_rspin.audio import AudioError, normalize_waveforms, num_frames
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.units import AcousticPieces, KMeans, UnitSequence, UnitTokenizer, mfcc, windows
from hf_rspin.units.group_norm import first_convolution
from hf_rspin.units.stream_segments import SegmentStream, joined_pairs
from hf_rspin.units.stream_statistics import HeardStatistics

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "projection_size": 8,
    "codebook_size": 12,
}
WINDOW, CONTEXT = 50, 8  # frames
SPIN = {
    "hubert": (RSpinHubertModel, RSpinHubertConfig),
    "wavlm": (RSpinWavLMModel, RSpinWavLMConfig),
}


def build(family="hubert", norm="layer", **options):
    torch.manual_seed(0)
    model_class, config_class = SPIN[family]
    config = config_class(**SIZES, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer")
    return UnitTokenizer(model_class(config).eval(), **options)


def noise(samples, seed=0):
    loudness = 0.02 + 0.2 * np.abs(np.sin(np.arange(samples) / 3000))
    generator = np.random.default_rng(seed)
    return (loudness * generator.standard_normal(samples)).astype(np.float32)


def chunks_of(waveform, seed):
    """Cut at random: empty chunks, single samples, and much at once."""
    generator = np.random.default_rng(seed)
    longest = int(generator.choice([1_000, 5_000, 40_000]))
    place = 0
    while place < len(waveform):
        size = int(generator.choice([0, 1, 160, generator.integers(longest)]))
        yield waveform[place : place + size]
        place += size


def streamed(stream, chunks):
    results = [*map(stream.push, chunks), stream.finish()]
    units = np.concatenate([one.units for one in results])
    parts = {
        name: np.concatenate([getattr(one.segments, name) for one in results])
        for name in ("ids", "starts", "ends", "frame_ids", "units")
    }
    return units, UnitSequence(**parts)


def check_same(found, expected):
    units, segments = found
    np.testing.assert_array_equal(units, expected.units)
    for name in ("ids", "starts", "ends", "frame_ids", "units"):
        np.testing.assert_array_equal(getattr(segments, name), getattr(expected, name))


@pytest.fixture
def short_windows(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW", WINDOW)
    monkeypatch.setattr(windows, "CONTEXT", CONTEXT)


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
@pytest.mark.parametrize("seed", range(7))
def test_any_chunking_gives_the_units_of_the_whole(family, seed, short_windows):
    tokenizer = build(family)
    hop = WINDOW - 2 * CONTEXT
    # nothing, less than a frame, one window and around it, windows that end with the sound
    frames = [0, 1, WINDOW, WINDOW + 1, WINDOW + 2 * hop, WINDOW + 2 * hop + 1, 237][seed]
    waveform = noise(80 + 320 * frames + [300, 0, 5][seed % 3], seed)
    if seed % 2:
        other = tokenizer([noise(16_000 * 5, 9)])[0].units
        tokenizer.use_pieces(AcousticPieces.train([other], 25, progress=False))
    whole = tokenizer(waveform)
    assert len(whole.units) == num_frames(len(waveform))
    check_same(streamed(tokenizer.stream(), chunks_of(waveform, seed)), whole)
    check_same(streamed(tokenizer.stream(), [waveform]), whole)


def test_units_come_when_their_window_is_heard_and_memory_is_bounded(short_windows):
    stream, given = build().stream(), 0
    assert stream.latency == pytest.approx(WINDOW * 0.02 + 0.025)
    for number, chunk in enumerate(np.split(noise(320 * 400), 400), 1):
        given += len(stream.push(chunk).units)
        assert given >= number - WINDOW - 2
        assert given <= max(0, number - CONTEXT)
        assert stream._held <= 320 * (2 * WINDOW - 2 * CONTEXT + 2)


@pytest.mark.parametrize("latency", [0.2, 0.5])
def test_a_stream_of_less_latency_gives_the_same_for_any_chunking(latency):
    tokenizer = build()
    waveform, options = noise(50_000), {"context": 0.4, "approximate": True}
    with pytest.raises(ValueError, match="lets it hear only .* pass approximate=True"):
        tokenizer.stream(latency=latency)
    first = streamed(tokenizer.stream(latency, **options), [waveform])
    assert len(first[0]) == num_frames(len(waveform))
    for seed in range(3):
        units, segments = streamed(tokenizer.stream(latency, **options), chunks_of(waveform, seed))
        np.testing.assert_array_equal(units, first[0])
        check_same((units, segments), UnitSequence.from_frames(units))
    stream, given = tokenizer.stream(latency, **options), 0
    assert stream.latency <= latency
    for number, chunk in enumerate(np.split(waveform[:48_000], 300), 1):
        given += len(stream.push(chunk).units)
        # each frame that began `latency` and two chunks ago has its unit
        assert 0.02 * given >= 0.01 * number - latency - 0.02


def test_each_window_of_less_latency_is_what_the_schedule_says():
    tokenizer = build()
    waveform = noise(320 * 60 + 80)
    units, _ = streamed(tokenizer.stream(0.425, 0.4, approximate=True), [waveform])
    # 10 frames ahead, 10 from one window to the next, 20 before
    expected = []
    for end in (20, 30, 40, 50):
        first = max(0, end - 40)
        found = tokenizer(waveform[320 * first : 320 * end + 80]).units
        expected += found[len(expected) - first : end - 10 - first].tolist()
    expected += tokenizer(waveform[320 * 20 :]).units[20:].tolist()
    assert units.tolist() == expected


@pytest.mark.parametrize(
    "options,reason",
    [({"norm": "group"}, "group norm over time"), ({"normalize": True}, "do_normalize")],
)
def test_what_sees_the_whole_recording_is_refused_or_told(options, reason, caplog):
    tokenizer = build(**options)
    with pytest.raises(ValueError, match=reason):
        tokenizer.stream()
    with caplog.at_level(logging.WARNING):
        stream = tokenizer.stream(approximate=True)
    assert reason in caplog.text
    waveform = noise(20_000)
    check_same(streamed(stream, chunks_of(waveform, 0)), tokenizer(waveform))  # of one window


@pytest.mark.parametrize(
    "options", [{"norm": "group"}, {"normalize": True}, {"norm": "group", "normalize": True}]
)
def test_what_was_heard_so_far_stands_for_the_whole(options, short_windows):
    tokenizer = build(**options)
    waveform = noise(320 * 200 + 80) + np.float32(0.3)  # loudness changes, and there is an offset
    whole = tokenizer(waveform).units
    results = [
        streamed(tokenizer.stream(approximate=True), chunks)[0]
        for chunks in ([waveform], chunks_of(waveform, 1), chunks_of(waveform, 2))
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    # the last window, from frame 178, has heard everything and is that of the whole
    np.testing.assert_array_equal(results[0][178:], whole[178:])
    assert (results[0] == whole).mean() > 0.8


@pytest.mark.parametrize("bias", [False, True])
def test_the_statistics_of_parts_are_those_of_the_whole(bias):
    torch.manual_seed(0)
    config = RSpinHubertConfig(**SIZES, conv_bias=bias)
    model = RSpinHubertModel(config)
    convolution, norm = first_convolution(model)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
    waveform = 0.4 + 0.1 * noise(9_003)
    for normalize in (False, True):
        statistics = HeardStatistics(model, normalize)
        for part in np.split(waveform, [7, 9, 400, 5_000]):
            statistics.add(part)
        read = normalize_waveforms(waveform) if normalize else waveform
        np.testing.assert_allclose(statistics.normalized(waveform), read, atol=1e-5)
        states = convolution(torch.from_numpy(read)[None, None])
        expected = torch.nn.functional.group_norm(states, 16, norm.weight, norm.bias, norm.eps)
        with statistics.used():
            found = norm(states)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


def test_mfcc_are_refused(caplog):
    kmeans = KMeans(4, source="mfcc").fit_stream([mfcc(noise(16_000))])
    tokenizer = UnitTokenizer(units="mfcc", kmeans=kmeans)
    with pytest.raises(ValueError, match="MFCC are relative"):
        tokenizer.stream()
    check_same(
        streamed(tokenizer.stream(approximate=True), [noise(9_000)]), tokenizer(noise(9_000))
    )


def test_other_rates_are_resampled_as_they_come():
    tokenizer = build()
    waveform = noise(24_000)
    whole = tokenizer(soxr.resample(waveform, 8_000, 16_000))
    for seed in range(3):
        stream = tokenizer.stream(sampling_rate=8_000)
        check_same(streamed(stream, chunks_of(waveform, seed)), whole)


@pytest.mark.parametrize("seed", range(8))
def test_pieces_are_final_when_they_are_given(seed):
    generator = np.random.default_rng(seed)
    corpus = [np.repeat(generator.integers(0, 4, 80), generator.integers(1, 4, 80))
              for _ in range(4)]  # fmt: skip
    pieces = AcousticPieces.train(corpus[:2], [6, 9, 12, 30][seed % 4], progress=False)
    units = np.concatenate([*corpus[2:], generator.integers(0, 7, 20)])  # 4 to 6 are unknown
    stream, found, early = SegmentStream(pieces), [], 0
    for part in np.array_split(units, 25):
        found.append(stream.push(part))
        early += len(found[-1])
    found.append(stream.push(np.zeros(0, np.int64), last=True))
    whole = UnitSequence.from_frames(units, pieces)
    for name in ("ids", "starts", "ends", "frame_ids", "units"):
        joined = np.concatenate([getattr(one, name) for one in found])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    assert early > 0


def test_joined_pairs_are_those_of_all_pieces():
    pieces = AcousticPieces.train([[0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3]], 7, progress=False)
    neighbours = {
        pair
        for label in range(pieces.num_labels)
        for pair in zip(pieces.label_units(label), pieces.label_units(label)[1:], strict=False)
    }
    found = {(int(one) >> 32, int(one) & 0xFFFFFFFF) for one in joined_pairs(pieces)}
    assert neighbours and neighbours <= found


def test_mistakes_are_told():
    tokenizer = build()
    stream = tokenizer.stream()
    with pytest.raises(AudioError, match="expected floats"):
        stream.push(np.zeros(3, np.int16))
    with pytest.raises(AudioError, match="NaN"):
        stream.push(np.array([np.nan]))
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(noise(5))
    with pytest.raises(ValueError, match="at least 0.1 s"):
        tokenizer.stream(latency=0.03, approximate=True)
    with pytest.raises(ValueError, match="sampling_rate is 0"):
        tokenizer.stream(sampling_rate=0)
