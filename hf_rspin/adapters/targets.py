"""Which linear layers LoRA adapts, by type of encoder: peft has no defaults for speech."""

from __future__ import annotations

_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_FEED_FORWARD = ("intermediate_dense", "output_dense")

# by `model_type`: attention, feed-forward
LORA_TARGETS = {
    "hubert": (_ATTENTION, _FEED_FORWARD),
    "wavlm": (_ATTENTION, _FEED_FORWARD),
    "wav2vec2": (_ATTENTION, _FEED_FORWARD),
    "data2vec-audio": (_ATTENTION, _FEED_FORWARD),
    "unispeech-sat": (_ATTENTION, _FEED_FORWARD),
    # the last name is also that of the layer behind attention
    "sew-d": (("query_proj", "key_proj", "value_proj"), ("intermediate.dense", "output.dense")),
}


def lora_targets(model_type: str, feed_forward: bool = False) -> list[str]:
    """Return the names of the layers that LoRA adapts.

    Args:
        model_type: of the encoder's config.
        feed_forward: also those of the feed-forward blocks.

    Raises:
        ValueError: an encoder whose layers are not known here.
    """
    if model_type not in LORA_TARGETS:
        raise ValueError(
            f"no LoRA targets are known for a {model_type!r} model; expected one of "
            f"{', '.join(LORA_TARGETS)}: name the linear layers yourself."
        )
    attention, others = LORA_TARGETS[model_type]
    return [*attention, *(others if feed_forward else ())]
