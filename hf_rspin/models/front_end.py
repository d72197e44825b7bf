"""What the convolutional front end of an encoder was trained to read."""

from __future__ import annotations

from transformers import PreTrainedConfig


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
    return config.feat_extract_norm == "layer"
