"""Old name of `cli`."""

from hf_rspin.training.cli import parse_arguments  # noqa: F401
