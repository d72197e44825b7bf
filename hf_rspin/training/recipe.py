"""Old name of `arguments` and `run`."""

from hf_rspin.training.arguments import CorpusArguments, split_name  # noqa: F401
from hf_rspin.training.run import show_progress  # noqa: F401
