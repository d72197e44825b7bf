"""Old name of `cli`."""

from hf_rspin.training.cli import WHILE_RUNNING, mistakes_explained  # noqa: F401
