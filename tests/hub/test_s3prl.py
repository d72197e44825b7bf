"""The s3prl upstream gives what the stock model gives of each utterance alone."""

import sys
import types

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, HubertModel, Wav2Vec2FeatureExtractor

from hf_rspin.audio import num_frames
from hf_rspin.evaluation import PretrainedEncoderFeatures
from hf_rspin.hub import s3prl as ours
from hf_rspin.hub.s3prl import UpstreamExpert, hf_rspin
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.resources import encoder_folder

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.5,
    "mask_time_prob": 0.5,
}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
KINDS = {
    "hubert base": ("Hubert", {}),
    "hubert large": ("Hubert", LARGE),
    "hubert batch norm": ("Hubert", {"conv_pos_batch_norm": True}),
    "wavlm base": ("WavLM", {}),
    "wavlm large": ("WavLM", LARGE),
    "wav2vec2 base": ("Wav2Vec2", {}),
    "wav2vec2 large": ("Wav2Vec2", LARGE),
    "unispeech-sat base": ("UniSpeechSat", {}),
    "data2vec": ("Data2VecAudio", {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 7}),
}
LENGTHS = [9000, 4000, 6500, 400, 4000]


def make(kind):
    """Return a stock model whose every parameter matters."""
    name, options = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**(SIZES | options))
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_waveforms(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [0.03 + 0.1 * torch.randn(length, generator=generator) for length in LENGTHS]


def expected_states(model, waveform, normalize):
    """Return (layers + 1, frames, dim) of the stock model, the last one after the final norm."""
    if normalize:
        waveform = (waveform - waveform.mean()) / torch.sqrt(waveform.var(unbiased=False) + 1e-7)
    with torch.no_grad():
        output = model(waveform[None], output_hidden_states=True)
    return torch.cat([*output.hidden_states[:-1], output.last_hidden_state])


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


def test_every_utterance_of_a_batch_equals_the_stock_model_alone(kind, tmp_path):
    model = make(kind)
    model.save_pretrained(tmp_path)
    expert = hf_rspin(str(tmp_path), model_config=None, refresh=False)
    normalize = "large" in kind or kind == "data2vec"
    assert type(expert.model) is type(model) and expert.normalize == normalize
    waveforms = make_waveforms()
    with torch.no_grad():
        found = expert(waveforms)
    hidden_states = found["hidden_states"]
    assert len(hidden_states) == SIZES["num_hidden_layers"] + 1
    assert all(state.shape == (5, num_frames(9000), 16) for state in hidden_states)
    for row, waveform in enumerate(waveforms):
        expected = expected_states(model, waveform, normalize)
        states = torch.stack([state[row, : expected.shape[1]] for state in hidden_states])
        torch.testing.assert_close(states, expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found["last_hidden_state"], found["hidden_state_3"])


def test_the_stock_batch_is_wrong_where_ours_is_not(tmp_path):
    model = make("hubert base")  # the trap itself, so that the test above can fail
    waveforms = make_waveforms()
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    mask = torch.arange(9000) < torch.tensor(LENGTHS)[:, None]
    with torch.no_grad():
        batch = model(padded, attention_mask=mask.long()).last_hidden_state
    alone = expected_states(model, waveforms[1], normalize=False)[-1]
    assert (batch[1, : len(alone)] - alone).abs().max() > 0.05


def test_features_equal_those_of_the_evaluation(kind, tmp_path):
    make(kind).save_pretrained(tmp_path)
    waveform = make_waveforms()[2]
    with torch.no_grad():
        found = torch.cat(UpstreamExpert(tmp_path)([waveform])["hidden_states"])
    expected = PretrainedEncoderFeatures.from_pretrained(tmp_path, bf16=False)(waveform.numpy())
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_frames_and_rate_are_what_s3prl_counts_on(tmp_path):
    make("wavlm base").save_pretrained(tmp_path)
    expert = UpstreamExpert(tmp_path)
    assert expert.get_downsample_rates("hidden_states") == 320
    waveforms = make_waveforms()
    with torch.no_grad():
        batch = expert(waveforms)["hidden_states"][2]
        for row, waveform in enumerate(waveforms):
            counted = round(len(waveform) / 320)  # by the featurizer of s3prl
            valid = num_frames(len(waveform))
            assert 0 <= counted - valid <= 1
            alone = expert([waveform])["hidden_states"][2][0]
            repeated = torch.cat([alone, alone[-1:]])[:counted]
            torch.testing.assert_close(
                batch[row, :counted], repeated[: batch.shape[1]], atol=2e-5, rtol=1e-4
            )


def test_folders_with_our_heads_are_read_as_encoders(tmp_path):
    sizes = {**SIZES, "layerdrop": 0.0, "codebook_size": 8}
    for config_class, model_class in (
        (RSpinHubertConfig, RSpinHubertModel),
        (RSpinWavLMConfig, RSpinWavLMModel),
    ):
        torch.manual_seed(0)
        model = model_class(config_class(**sizes, num_pseudo_labels=5)).eval()
        folder = tmp_path / model_class.__name__
        model.save_pretrained(folder)
        expert = UpstreamExpert(folder / "model.safetensors")
        waveform = make_waveforms()[1]
        with torch.no_grad():
            found = expert([waveform])["last_hidden_state"]
            expected = model(waveform[None]).last_hidden_state
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_the_feature_extractor_of_a_folder_is_believed(tmp_path, caplog):
    caplog.set_level("INFO")
    folders = [tmp_path / "trained here", tmp_path / "plain"]
    sizes = {**SIZES, "layerdrop": 0.0}
    RSpinHubertModel(RSpinHubertConfig(**sizes)).save_pretrained(folders[0])
    make("hubert base").save_pretrained(folders[1])
    for folder in folders:
        Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    experts = [UpstreamExpert(folder) for folder in folders]
    assert [expert.normalize for expert in experts] == [True, True]
    assert sum("do_normalize=True" in record.message for record in caplog.records) == 2
    assert not UpstreamExpert(folders[1], normalize=False).normalize


@pytest.mark.parametrize("kind", ["hubert base", "wavlm large"])
def test_fine_tuning_trains_every_layer_the_same_way_twice(kind, tmp_path):
    make(kind).save_pretrained(tmp_path)
    expert = UpstreamExpert(tmp_path).train()
    waveforms = make_waveforms()[:3]
    for module in expert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for layer in expert.model.encoder.layers:
        layer.attention.dropout = 0.0
    found = expert(waveforms)["hidden_states"]
    assert len(found) == 4  # layer drop of 0.5 would have removed some
    torch.stack(found).square().sum().backward()
    gradients = {name: p.grad for name, p in expert.model.named_parameters()}
    for name, gradient in gradients.items():
        frozen = name.startswith("feature_extractor.") or name == "masked_spec_embed"
        assert (gradient is None) == frozen, name
    again = expert(waveforms)["hidden_states"]  # masking would draw anew
    torch.testing.assert_close(again[-1], found[-1])


def test_convolutions_can_be_trained(tmp_path):
    make("hubert base").save_pretrained(tmp_path)
    expert = UpstreamExpert(tmp_path, freeze_convolutions=False)
    expert(make_waveforms()[:2])["last_hidden_state"].square().sum().backward()
    assert all(p.grad is not None for p in expert.model.feature_extractor.parameters())


@pytest.mark.parametrize(
    "wavs, message",
    [
        ([], "no waveform"),
        ([torch.zeros(399)], "waveform 0 has 399 samples"),
        ([torch.zeros(500), torch.zeros(2, 500)], r"waveform 1 as torch.float32 of shape"),
        ([torch.zeros(500, dtype=torch.int16)], "torch.int16"),
        ([np.zeros(500)], "ndarray"),
    ],
)
def test_wrong_waveforms_are_refused(wavs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        UpstreamExpert("embedded")(wavs)


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="neither a folder nor a model of the Hub"):
        UpstreamExpert(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no model was given"):
        UpstreamExpert(None)
    with pytest.raises(ValueError, match="leave it out"):
        UpstreamExpert(tmp_path, model_config="config.yaml")
    with pytest.raises(ValueError, match="no config.json"):
        UpstreamExpert(tmp_path)
    transformers.SEWConfig().save_pretrained(tmp_path / "sew")
    with pytest.raises(ValueError, match="holds a 'sew' model"):
        UpstreamExpert(tmp_path / "sew")
    strides = {"conv_stride": (5, 2, 2, 2, 2, 2, 1)}
    transformers.HubertConfig(**(SIZES | strides)).save_pretrained(tmp_path / "fast")
    with pytest.raises(ValueError, match="every 160 samples"):
        UpstreamExpert(tmp_path / "fast")


def test_a_wavlm_is_not_read_from_the_weights_of_a_hubert(tmp_path):
    make("hubert base").save_pretrained(tmp_path)
    transformers.WavLMConfig(**SIZES).save_pretrained(tmp_path)  # as a wrong conversion leaves it
    with pytest.raises(ValueError, match="no whole encoder"):
        UpstreamExpert(tmp_path)


def test_adapters_are_refused(tmp_path):
    make("hubert base").save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds an adapter"):
        UpstreamExpert(tmp_path)


def test_s3prl_gets_the_entry(monkeypatch):
    package, hub = types.ModuleType("s3prl"), types.ModuleType("s3prl.hub")
    package.hub = hub
    monkeypatch.setitem(sys.modules, "s3prl", package)
    monkeypatch.setitem(sys.modules, "s3prl.hub", hub)
    ours.register()
    expert = hub.hf_rspin(ckpt=str(encoder_folder()), model_config=None, refresh=True)
    assert isinstance(expert.model, HubertModel)
    monkeypatch.setitem(sys.modules, "s3prl", None)
    with pytest.raises(ImportError, match="pip install s3prl"):
        ours.register()
    assert type(AutoModel.from_pretrained(encoder_folder())) is type(expert.model)
