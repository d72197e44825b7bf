"""Self-supervised fine-tuning of speech encoders: speaker- and noise-invariant clustering.

The public names; each is imported from its module when it is first used.
"""

import warnings
from importlib import import_module

_MODULES = {
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
        "ModelCardInfo",
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
        "LaserModel",
        "LaserWavLMConfig",
        "LaserWavLMModel",
        "RSpinHubertConfig",
        "RSpinHubertModel",
        "RSpinModel",
        "RSpinWavLMConfig",
        "RSpinWavLMModel",
        "load_encoder",
    ),
    "hf_rspin.models.backbones": (
        "MRHubertConfig",
        "MRHubertForCTC",
        "MRHubertModel",
        "SummaryMixing",
        "SummaryMixingHubertConfig",
        "SummaryMixingHubertModel",
        "convert_attention",
    ),
    "hf_rspin.resources": ("encoder_folder", "load_sample"),
    "hf_rspin.training": (
        "LaserTrainer",
        "LaserTrainingArguments",
        "SpeechTrainer",
        "SpeechTrainingArguments",
        "TwoViewTrainer",
        "TwoViewTrainingArguments",
    ),
    "hf_rspin.units": ("AcousticPieces", "FrameLabels", "KMeans", "UnitTokenizer"),
    "hf_rspin.views": (
        "LaserViews",
        "NoiseBank",
        "RSpinViews",
        "SpinViews",
        "Transform",
        "build_views",
        "parametric_equalizer",
        "shift_voice",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_RENAMED = {"CardFacts": "ModelCardInfo"}  # since version 0.1.0

__version__ = "0.2.0.dev0"
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name in _RENAMED:
        warnings.warn(f"hf_rspin.{name} is now called {_RENAMED[name]}.", DeprecationWarning, 2)
        name = _RENAMED[name]
    if name not in _MODULE_OF:
        raise AttributeError(
            f"module 'hf_rspin' has no attribute {name!r}; it offers {', '.join(__all__)}."
        )
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
