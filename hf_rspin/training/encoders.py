"""Old name of `builders` and `arguments`."""

from hf_rspin.training.arguments import ModelArguments  # noqa: F401
from hf_rspin.training.builders import resolve_encoder  # noqa: F401
