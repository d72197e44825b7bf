"""Recordings of any lengths: batches equal one by one, windows have the norm of the whole."""

import threading

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoModel

from hf_rspin import MRHubertConfig, MRHubertModel
from hf_rspin.audio import num_frames, num_samples, read_audio
from hf_rspin.resources import encoder_folder, sample_folder
from hf_rspin.units import KMeans, layer_features
from hf_rspin.units.group_norm import whole_statistics
from hf_rspin.units.recordings import can_pad, encode_recordings, evaluating, similar_batches

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
FAMILIES = ("hubert", "wavlm", "wav2vec2", "unispeech-sat")
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def build(family="hubert", **options):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**(SIZES | options))
    return MODEL_MAPPING[type(config)](config).eval()


def waveforms(*lengths):
    rng = np.random.default_rng(0)
    frames = [num_samples(num_frames(length)) for length in lengths]
    return [(0.1 * rng.standard_normal(n) + 0.02).astype("f4") for n in frames]


def states(model):
    return lambda values, mask: model(values, attention_mask=mask).last_hidden_state


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"conv_bias": True}, LAYER_NORM])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_padded_batch_equals_one_by_one(family, options, normalize):
    model = build(family, **options)
    assert can_pad(model)
    audio = waveforms(9000, 8100, 8500, 9000, 4000)
    batch = encode_recordings(model, states(model), audio, normalize)
    for one, found in zip(audio, batch, strict=True):
        values = torch.from_numpy(one)[None]
        if normalize:
            values = (values - values.mean()) / (values.var(unbiased=False) + 1e-7).sqrt()
        with torch.no_grad():
            wanted = model(values).last_hidden_state[0]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)


def test_mr_hubert_in_padded_batches_keeps_the_norm_that_leaves_padding_out():
    sizes = {name: value for name, value in SIZES.items() if name != "num_hidden_layers"}
    torch.manual_seed(0)
    model = MRHubertModel(MRHubertConfig(block_layers=[1, 1, 1], **sizes)).eval()
    audio = waveforms(9000, 8100, 8500, 4000)
    with torch.no_grad():
        alone = [model(torch.from_numpy(one)[None]).last_hidden_state[0] for one in audio]
    assert can_pad(model)
    encoded = encode_recordings(model, states(model), audio)
    values = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one) for one in audio], True)
    mask = (torch.arange(9000) < torch.tensor([[len(one)] for one in audio])).long()
    with torch.no_grad():
        afterwards = model(values, attention_mask=mask[:, : values.shape[1]]).last_hidden_state
    for wanted, found, later in zip(alone, encoded, afterwards, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(later[: len(wanted)], wanted, rtol=1e-4, atol=2e-5)


def test_bfloat16_batches_are_as_close_as_bfloat16_itself():
    model, audio = build(), waveforms(9000, 8100)
    exact, coarse = (
        [encode_recordings(model, states(model), [one], bf16=bf16)[0] for one in audio]
        for bf16 in (False, True)
    )
    batch = encode_recordings(model, states(model), audio, bf16=True)
    for right, alone, found in zip(exact, coarse, batch, strict=True):
        assert (found - right).norm() < 1.5 * (alone - right).norm() + 1e-3


def test_what_a_mask_does_not_hide_is_not_padded():
    assert not can_pad(build(conv_pos_batch_norm=True))
    audio = dict(enumerate(waveforms(9000, 8500, 4000, 9000, 8500)))
    batches = [sorted(batch) for batch in similar_batches(audio, 60.0, pads=False)]
    assert sorted(batches) == [[0, 3], [1, 4], [2]]
    assert sorted(map(sorted, similar_batches(audio, 60.0, pads=True))) == [[0, 1, 3, 4], [2]]
    sizes = [len(batch) for batch in similar_batches(audio, 1.2, pads=True)]
    assert sizes == [1, 2, 2]
    long = dict(enumerate(waveforms(480_400, 490_000, 480_400)))  # above 30 s: in windows
    assert sorted(map(sorted, similar_batches(long, 600.0, pads=True))) == [[0, 2], [1]]


@pytest.mark.parametrize("bias", [False, True])
def test_given_statistics_are_those_of_the_group_norm(bias):
    model = build(conv_bias=bias)
    values = torch.from_numpy(np.stack(waveforms(60_000, 60_000))) + 0.3
    with torch.no_grad():
        wanted = model.feature_extractor(values)
        with whole_statistics(model, values):
            found = model.feature_extractor(values)
            # a part with the statistics of the whole is the part of the whole
            part = model.feature_extractor(values[:, 3200 : 3200 + num_samples(50)])
        after = model.feature_extractor(values)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part, wanted[:, :, 10:60], rtol=1e-4, atol=1e-5)
    assert torch.equal(after, wanted)


def test_threads_do_not_mix_their_statistics():
    model = build()
    quiet, loud = (torch.from_numpy(one)[None] for one in waveforms(9000, 9000))
    audio = [quiet, 10 * loud]
    with torch.no_grad():
        alone = [model.feature_extractor(values) for values in audio]
    barrier, found = threading.Barrier(2), {}

    def run(index):
        with torch.no_grad(), whole_statistics(model, audio[index]):
            barrier.wait()
            found[index] = model.feature_extractor(audio[index])
            barrier.wait()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        torch.testing.assert_close(found[index], alone[index], rtol=1e-4, atol=1e-5)


def test_units_of_a_long_recording_are_nearly_those_of_the_whole(monkeypatch):
    model = AutoModel.from_pretrained(encoder_folder()).eval()
    files = sorted((sample_folder() / "test").glob("*.flac"))[:18]
    audio = np.concatenate([read_audio(file) for file in files])
    assert len(audio) > 42 * 16_000
    features = layer_features(model, 4)
    with monkeypatch.context() as patch:
        patch.setattr("hf_rspin.units.windows.WINDOW", 10**6)
        whole = features(audio[: 42 * 16_000])
    kmeans = KMeans(100).fit_stream([whole])
    units = kmeans.predict(whole)
    assert (kmeans.predict(features(audio[: 42 * 16_000])) != units).mean() < 0.04
    just, above = (kmeans.predict(features(audio[:n]))[:1500] for n in (480_080, 480_400))
    assert (just != above).mean() < 0.01


def test_the_model_is_in_eval_mode_and_goes_back_to_its_own():
    model = build(hidden_dropout=0.5)
    features = layer_features(model, 2)
    audio = waveforms(9000)[0]
    wanted = features(audio)
    model.train()
    model.encoder.layers[0].eval()
    modes = [module.training for module in model.modules()]
    np.testing.assert_array_equal(features(audio), wanted)
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(KeyError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == modes


def test_nan_is_an_error():
    model = build()
    with torch.no_grad():
        model.encoder.layers[1].attention.q_proj.weight[0, 0] = torch.nan
    for audio in (waveforms(9000), waveforms(9000, 8900)):
        with pytest.raises(ValueError, match="HubertModel gives NaN or infinite values"):
            encode_recordings(model, states(model), audio)


def test_other_frame_rates_are_refused_at_once():
    with pytest.raises(ValueError, match="400 samples every 640; expected 400 samples every 320"):
        layer_features(build(conv_stride=[5, 2, 2, 2, 2, 2, 4]), 1)
