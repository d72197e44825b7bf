"""Every encoder, plain or with an adapter: trains, is saved, loads elsewhere with equal outputs."""

import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoModelForCTC, pipeline

from hf_rspin.adapters import AdapterArguments
from hf_rspin.ctc import (
    CtcCorpusArguments,
    CtcModelArguments,
    CtcTrainingArguments,
    build_fine_tune,
    build_tokenizer,
    fine_tune,
    load_ctc_model,
)
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel, RSpinWavLMConfig, RSpinWavLMModel
from hf_rspin.models.own_types import OWN_TYPES

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
SEWD = {
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2), "squeeze_factor": 2
}  # fmt: skip


def plain(family, **options):
    config = CONFIG_MAPPING[family](**SIZES, **options)
    return MODEL_MAPPING[type(config)](config)


ENCODERS = {
    **{family: plain(family) for family in ("hubert", "wavlm", "wav2vec2", "data2vec-audio",
                                            "unispeech-sat")},
    "hubert-large": plain("hubert", **STABLE),
    "rspin-hubert": RSpinHubertModel(RSpinHubertConfig(**SIZES, codebook_size=8)),
    "rspin-wavlm": RSpinWavLMModel(RSpinWavLMConfig(**SIZES, codebook_size=8)),
    "sew": plain("sew", **SEWD),
    "sew-d": plain("sew-d", **SEWD),
    "mr-hubert": plain("mr-hubert"),
    "wav2vec2-conformer": plain("wav2vec2-conformer"),
}  # fmt: skip

ADAPTED = ["hubert", "rspin-wavlm", "data2vec-audio", "sew-d"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for name, model in ENCODERS.items():
        model.save_pretrained(folder / name)
        if name.startswith("rspin"):
            assert "auto_map" in json.loads((folder / name / "config.json").read_text())
    return folder


def run_of(encoder, corpus, output, adapter="none", layers=None, **options):
    training = CtcTrainingArguments(
        output_dir=str(output), max_steps=2, batch_seconds=6, use_cpu=True, disable_tqdm=True,
        save_strategy="no", **options,
    )  # fmt: skip
    return build_fine_tune(
        CtcCorpusArguments(str(corpus), "train", target="phones", dev_split="dev"),
        CtcModelArguments(str(encoder), num_trainable_layers=layers),
        AdapterArguments(adapter=adapter),
        training,
    )


def check_config(config):
    """Nothing of our heads is announced that is not there."""
    assert config["architectures"][0].endswith("ForCTC")
    assert not {"spin_layer", "codebook_size", "num_pseudo_labels"} & set(config)
    assert ("auto_map" in config) == (config["model_type"] in OWN_TYPES)  # whose code is there
    assert config["ctc_zero_infinity"] and config["ctc_loss_reduction"] == "mean"
    assert config["vocab_size"] == 6 and config["pad_token_id"] == 0


@pytest.mark.parametrize(
    ("name", "adapter"),
    [(name, "none") for name in ENCODERS]
    + [(name, kind) for name in ADAPTED for kind in ("lora", "read")],
)
def test_train_save_load(tmp_path, encoders, tones, name, adapter):
    run = run_of(encoders / name, tones, tmp_path, adapter)
    found = fine_tune(run)
    assert found["updates"] == 2 and found["dev"]["utterances"] == 4
    saved = tmp_path if adapter != "read" else tmp_path / "adapter"
    model, processor = load_ctc_model(saved)
    assert isinstance(model, PeftModel) == (adapter == "read")
    normalized = name in ("hubert-large", "data2vec-audio")
    assert processor.feature_extractor.do_normalize == normalized
    waveform = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    inputs = processor.feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = run.trainer.model.eval()(**inputs).logits
        torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-4)
        if adapter == "read":
            check_config(json.loads((saved / "config.json").read_text()))
            return
        stock = AutoModelForCTC.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(stock(**inputs).logits, expected, atol=1e-5, rtol=1e-4)
    check_config(json.loads((saved / "config.json").read_text()))
    heard = pipeline("automatic-speech-recognition", model=str(tmp_path))
    classes = expected[0].argmax(-1).tolist()
    sound = {"raw": waveform, "sampling_rate": 16_000}
    assert heard(sound)["text"] == processor.tokenizer.decode(classes)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_only_the_top_layers_train_where_asked_for(encoders, name):
    model = CtcModelArguments(str(encoders / name), num_trainable_layers=1).build(
        build_tokenizer(["AA B"], "phones")
    )
    top = ["encoder.layers.2.", "encoder.layer.2.", "lm_head", "encoder.upsample"]
    # a norm behind all layers
    top += ["encoder.layer_norm"] if name in ("hubert-large", "wav2vec2-conformer") else []
    for parameter_name, parameter in model.named_parameters():
        assert parameter.requires_grad == any(part in parameter_name for part in top)


def test_the_front_end_is_frozen_unless_asked_for(encoders):
    tokenizer = build_tokenizer(["AA B"], "phones")

    def trains(**options):
        model = CtcModelArguments(str(encoders / "hubert"), **options).build(tokenizer)
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    assert not any("feature_extractor" in name for name in trains())
    assert any("feature_projection" in name for name in trains())
    assert any("feature_extractor" in name for name in trains(freeze_feature_encoder=False))
    assert trains(num_trainable_layers=0) == {"lm_head.weight", "lm_head.bias"}
    assert not any("masked_spec_embed" in name for name in trains())
    masked = trains(encoder_config={"apply_spec_augment": True})
    assert any("masked_spec_embed" in name for name in masked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trainable_layers": 4}, "num_trainable_layers is 4; expected 0 to 3"),
        ({"encoder_config": {"vocab_size": 9}}, "names vocab_size, which the corpus decides"),
        ({"encoder_config": {"hidden_droput": 0}}, "did you mean hidden_dropout"),
    ],
)
def test_settings_that_do_not_fit_are_refused(encoders, options, message):
    with pytest.raises(ValueError, match=message):
        CtcModelArguments(str(encoders / "hubert"), **options).build(build_tokenizer(["a"], "text"))
