"""Options of adapters: without peft, whose import takes seconds, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass, field

ADAPTERS = ("none", "lora", "read")


@dataclass
class AdapterOptions:
    """Train everything, or an adapter on a frozen encoder.

    Raises:
        ValueError: an unknown adapter, or a `lora_alpha` with which it has no effect.
    """

    adapter: str = field(
        default="none", metadata={"help": "none: train the encoder itself; lora; read"}
    )
    lora_rank: int = field(default=8, metadata={"help": "rank of LoRA's updates"})
    lora_alpha: float = field(default=16.0, metadata={"help": "updates are scaled by alpha / rank"})
    lora_dropout: float = field(default=0.0, metadata={"help": "dropout on the input of updates"})
    lora_feed_forward: bool = field(
        default=False, metadata={"help": "adapt the feed-forward blocks as well as attention"}
    )
    lora_targets: list[str] | None = field(
        default=None, metadata={"help": "names of linear layers; none: those of the encoder's type"}
    )
    read_width: int = field(default=128, metadata={"help": "size of READ's recurrent state"})
    read_scale: float = field(default=1.0, metadata={"help": "factor of READ's correction"})
    read_reduction: str = field(default="mean", metadata={"help": "over layers: mean or last"})

    def __post_init__(self) -> None:
        if self.adapter not in ADAPTERS:
            raise ValueError(f"adapter is {self.adapter!r}; expected {', '.join(ADAPTERS)}.")
        if not self.lora_alpha > 0:
            raise ValueError(f"lora_alpha is {self.lora_alpha}; expected a number above 0.")
