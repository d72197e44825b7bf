"""Self-supervised fine-tuning of speech encoders: speaker- and noise-invariant clustering.

The table of contents; a name is imported from its room when it is first used.
"""

from importlib import import_module

_ROOMS = {
    "hf_rspin.adapters": (
        "AdapterArguments",
        "ReadConfig",
        "add_lora",
        "load_adapted",
        "merge_lora",
    ),
    "hf_rspin.data": ("TwoViewDataset", "load_corpus"),
    "hf_rspin.ctc": ("CtcTrainer", "load_ctc_model"),
    "hf_rspin.hub": (
        "CardFacts",
        "clean_config",
        "convert_checkpoint",
        "export_plain",
        "push_to_hub",
        "save_for_hub",
    ),
    "hf_rspin.losses": (
        "contrastive_idm",
        "laser_loss",
        "sinkhorn",
        "soft_dtw",
        "soft_dtw_divergence",
        "spin_loss",
    ),
    "hf_rspin.models": (
        "LaserHubertConfig",
        "LaserHubertModel",
        "LaserWavLMConfig",
        "LaserWavLMModel",
        "RSpinHubertConfig",
        "RSpinHubertModel",
        "RSpinWavLMConfig",
        "RSpinWavLMModel",
    ),
    "hf_rspin.resources": ("encoder_folder", "load_sample"),
    "hf_rspin.training": (
        "LaserTrainer",
        "LaserTrainingArguments",
        "TwoViewTrainer",
        "TwoViewTrainingArguments",
    ),
    "hf_rspin.units": ("AcousticPieces", "FrameLabels", "KMeans", "UnitTokenizer"),
    "hf_rspin.views": (
        "LaserViews",
        "NoiseBank",
        "RSpinViews",
        "SpinViews",
        "parametric_equalizer",
        "shift_voice",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> object:
    """Import a public name from its room."""
    if name not in _ROOM_OF:
        raise AttributeError(
            f"module 'hf_rspin' has no attribute {name!r}; it offers {', '.join(__all__)}."
        )
    return getattr(import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
