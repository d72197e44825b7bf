"""Make READ a method of peft: the one file that touches what peft does not call public.

peft's `register_peft_method` refuses names outside its own enum, so READ is put into the tables
that it fills. Written for peft 0.21; `tests/adapters/test_read.py` saves, loads and disables.
"""

from __future__ import annotations

from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner


def register(name: str, config_class: type[PeftConfig], tuner_class: type[BaseTuner]) -> None:
    """Let `get_peft_model` and `PeftModel.from_pretrained` know a method by its `peft_type`."""
    PEFT_TYPE_TO_CONFIG_MAPPING[name] = config_class
    PEFT_TYPE_TO_TUNER_MAPPING[name] = tuner_class
    PEFT_TYPE_TO_PREFIX_MAPPING[name] = tuner_class.prefix
