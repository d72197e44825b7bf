from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import (
    LogMelFeatures,
    PretrainedEncoderFeatures,
    WeightedLayerSum,
    load_features,
)
from hf_rspin.evaluation.features import needs_no_model
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.whisper_encoder import WhisperFrames
from hf_rspin.units import mfcc


def stable_encoder():
    torch.manual_seed(0)
    model = HubertModel(
        HubertConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            conv_dim=(8,) * 7,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            do_stable_layer_norm=True,
            feat_extract_norm="layer",
        )
    )
    torch.nn.init.normal_(model.encoder.layer_norm.bias)
    return model.eval()


def test_hidden_states_of_all_layers_in_eval_mode(encoder, waveform):
    encoder.train()
    found = PretrainedEncoderFeatures(encoder, "tiny", bf16=False)(waveform)
    expected = encoder(torch.from_numpy(waveform)[None], output_hidden_states=True).hidden_states
    assert found.shape == (3, num_frames(len(waveform)), 16)
    torch.testing.assert_close(found, torch.cat(expected))


def test_last_layer_of_a_stable_layer_norm_encoder_is_the_normalised_one(waveform):
    model = stable_encoder()
    found = PretrainedEncoderFeatures(model, "large", bf16=False)(waveform)
    output = model(torch.from_numpy(waveform)[None], output_hidden_states=True)
    torch.testing.assert_close(found[-1], output.last_hidden_state[0])
    assert (found[-1] - output.hidden_states[-1][0]).abs().max() > 0.1
    torch.testing.assert_close(found[1], output.hidden_states[1][0])


def test_bf16_stays_close(encoder, waveform):
    exact = PretrainedEncoderFeatures(encoder, "tiny", bf16=False)(waveform)
    coarse = PretrainedEncoderFeatures(encoder, "tiny", bf16=True)(waveform)
    alike = torch.cosine_similarity(coarse, exact, dim=-1)
    assert alike.mean() > 0.9
    assert (coarse != exact).any()


def test_threads_do_not_mix_their_utterances(encoder):
    rng = np.random.default_rng(1)
    waveforms = [rng.normal(0, 0.1, 2000 + 320 * k).astype(np.float32) for k in range(12)]
    encoder_features = PretrainedEncoderFeatures(encoder, "tiny", bf16=False)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(encoder_features, waveforms))
    for waveform, found in zip(waveforms, together, strict=True):
        torch.testing.assert_close(found, encoder_features(waveform))


def test_the_folder_decides_whether_waveforms_are_normalised(encoder, waveform, tmp_path):
    encoder.save_pretrained(tmp_path / "base")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "base")
    base = load_features(str(tmp_path / "base"), bf16=False)
    assert (base.name, base.normalize) == ("base", True)
    encoder.save_pretrained(tmp_path / "other")
    assert not load_features(str(tmp_path / "other"), bf16=False).normalize
    model = stable_encoder()  # where the folder says nothing the convolutions decide
    model.save_pretrained(tmp_path / "no preprocessor")
    large = load_features(str(tmp_path / "no preprocessor"), "large", bf16=False)
    raw = PretrainedEncoderFeatures(model, "raw", bf16=False)
    scaled = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
    torch.testing.assert_close(large(waveform), raw(scaled), atol=1e-4, rtol=1e-3)
    assert large.fingerprint() != raw.fingerprint()


def test_a_folder_stored_in_bfloat16_runs_in_float32(encoder, waveform, tmp_path):
    encoder.bfloat16().save_pretrained(tmp_path)
    found = load_features(str(tmp_path), bf16=False)(waveform)
    expected = PretrainedEncoderFeatures(encoder.float(), "same", bf16=False)(
        waveform
    )  # rounded weights
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_fingerprint_follows_the_weights(encoder):
    encoder_features = PretrainedEncoderFeatures(encoder, "tiny")
    before = encoder_features.fingerprint()
    assert before == PretrainedEncoderFeatures(encoder, "other name").fingerprint()
    encoder.encoder.layer_norm.weight.data[3] += 1e-3
    assert encoder_features.fingerprint() != before


def test_log_mel_has_the_frames_of_the_encoder_and_the_tone_in_its_band(encoder):
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(8123) / 16000).astype(np.float32)
    encoder_features = LogMelFeatures()
    found = encoder_features(tone)
    assert found.shape == (1, PretrainedEncoderFeatures(encoder, "tiny")(tone).shape[1], 80)
    mel = 1127 * np.log1p(np.linspace(20, 8000, 10**5) / 700)
    band = np.searchsorted(np.linspace(mel[0], mel[-1], 82), 1127 * np.log1p(1000 / 700)) - 1
    assert abs(int(found[0].mean(0).argmax()) - band) <= 1


def test_log_mel_context_stacks_neighbours(waveform):
    bare, wide = LogMelFeatures()(waveform)[0], load_features("log-mel:1")(waveform)[0]
    assert wide.shape == (len(bare), 240)
    torch.testing.assert_close(wide[5], torch.cat([bare[4], bare[5], bare[6]]))
    torch.testing.assert_close(wide[0], torch.cat([bare[0], bare[0], bare[1]]))
    with pytest.raises(ValueError, match="log-mel:3"):
        load_features("log-mel:wide")


def test_mfcc_are_a_front_end_of_one_layer(waveform):
    encoder_features = load_features("mfcc", "MFCC")
    torch.testing.assert_close(encoder_features(waveform), torch.from_numpy(mfcc(waveform))[None])
    assert (encoder_features.name, encoder_features.num_layers, encoder_features.dim) == (
        "MFCC",
        1,
        39,
    )
    assert [needs_no_model(x) for x in ("mfcc", "log-mel:3", "log-mels", "mfcc/model")] == [
        True, True, False, False,
    ]  # fmt: skip


def whisper_folder(folder):
    torch.manual_seed(0)
    WhisperModel(WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=24, vocab_size=30,
        num_mel_bins=20, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )).save_pretrained(folder)  # fmt: skip
    WhisperFeatureExtractor(feature_size=20).save_pretrained(folder)
    return folder


def test_the_encoder_of_a_whisper_folder_gives_features_at_the_same_frames(tmp_path, waveform):
    folder = whisper_folder(tmp_path / "whisper")
    features = load_features(resolve_encoder(folder), bf16=False)
    assert (features.name, features.num_layers, features.dim) == ("whisper", 3, 16)
    found = features(waveform)
    assert found.shape == (3, num_frames(len(waveform)), 16) and found.dtype == torch.float32
    (expected,) = WhisperFrames.from_pretrained(folder, bf16=False).states([waveform])
    torch.testing.assert_close(found, expected)
    again = load_features(str(folder), "topline", bf16=False)
    assert again.name == "topline" and again.fingerprint() == features.fingerprint()
    assert load_features(str(folder), bf16=True).fingerprint() != features.fingerprint()
    again.encoder.model.layer_norm.weight.data[0] += 1
    assert again.fingerprint() != features.fingerprint()


@pytest.mark.parametrize("kind", ["encoder", "whisper", "log-mel", "mfcc"])
def test_less_than_a_frame_is_refused(kind, encoder, tmp_path):
    encoder_features = (
        PretrainedEncoderFeatures(encoder, "tiny")
        if kind == "encoder"
        else load_features(whisper_folder(tmp_path) if kind == "whisper" else kind)
    )
    with pytest.raises(ValueError, match="399 samples"):
        encoder_features(np.zeros(399, dtype=np.float32))


def test_weighted_sum_starts_as_a_mean_and_learns_a_layer():
    features = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    layers = WeightedLayerSum(3)
    torch.testing.assert_close(layers(features), features.mean(0))
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (layers(features) - features[1]).square().mean().backward()
        optimizer.step()
    assert layers.weights.softmax(0)[1] > 0.95
    with pytest.raises(ValueError, match="2 layers, expected 3"):
        layers(features[:2])


def test_normalised_weights_account_for_the_size_of_layers():
    layers = WeightedLayerSum(2)
    found = layers.normalized_weights(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(found, torch.tensor([0.25, 0.75]))


def test_the_fingerprint_knows_the_shape_beside_the_weights(encoder):
    def fingerprint(**changes):
        model = HubertModel(HubertConfig(**{**encoder.config.to_dict(), **changes}))
        model.load_state_dict(encoder.state_dict())
        return PretrainedEncoderFeatures(model, "x").fingerprint()

    known = fingerprint()
    assert fingerprint() == known == fingerprint(transformers_version="1", architectures=["X"])
    assert len({known, fingerprint(num_attention_heads=4), fingerprint(hidden_act="relu")}) == 3
