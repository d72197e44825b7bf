"""What the convolutional front end of an encoder was trained to read."""

from __future__ import annotations

from transformers import PreTrainedConfig, Wav2Vec2FeatureExtractor

SAMPLING_RATE = 16_000


def reads_normalized(config: PreTrainedConfig) -> bool:
    """Return whether the encoder reads waveforms of zero mean and unit variance.

    Front ends that normalise every layer (`feat_extract_norm="layer"`: the large models) were
    trained on normalised waveforms, those with one group norm on raw ones: `task.normalize` in
    fairseq's hubert_base_librispeech.yaml and hubert_large_librivox.yaml. The `do_normalize` of a
    saved preprocessor is not asked: facebook/hubert-base-ls960 says true there, against its own
    training, and many folders have no preprocessor.

    Args:
        config: of a HuBERT, WavLM or relative.
    """
    if config.model_type == "data2vec-audio":  # layer norm always, so that no field says it
        return True
    return config.feat_extract_norm == "layer"


def default_feature_extractor(config: PreTrainedConfig) -> Wav2Vec2FeatureExtractor:
    """Return the feature extractor of an encoder, its `do_normalize` said explicitly.

    Args:
        config: of a HuBERT, WavLM or relative; see `reads_normalized`.
    """
    return Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SAMPLING_RATE,
        padding_value=0.0,
        do_normalize=reads_normalized(config),
        return_attention_mask=True,
    )
