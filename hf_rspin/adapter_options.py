"""Options of adapters: without peft, whose import takes seconds, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.utils import option

ADAPTERS = ("none", "lora", "read")


@dataclass
class AdapterOptions:
    """Train everything, or an adapter on a frozen encoder.

    Raises:
        ValueError: an unknown adapter, or a `lora_alpha` with which it has no effect.
    """

    adapter: str = option("none", "none: train the encoder itself; lora; read")
    lora_rank: int = option(8, "rank of LoRA's updates")
    lora_alpha: float = option(16.0, "updates are scaled by alpha / rank")
    lora_dropout: float = option(0.0, "dropout on the input of updates")
    lora_feed_forward: bool = option(
        False, "adapt the feed-forward blocks as well as attention", rare=True
    )
    lora_targets: list[str] | None = option(
        None, "names of linear layers; none: those of the encoder's type", rare=True
    )
    read_width: int = option(128, "size of READ's recurrent state")
    read_scale: float = option(1.0, "factor of READ's correction", rare=True)
    read_reduction: str = option("mean", "over layers: mean or last", rare=True)

    def __post_init__(self) -> None:
        if self.adapter not in ADAPTERS:
            raise ValueError(f"adapter is {self.adapter!r}; expected {', '.join(ADAPTERS)}.")
        if not self.lora_alpha > 0:
            raise ValueError(f"lora_alpha is {self.lora_alpha}; expected a number above 0.")
