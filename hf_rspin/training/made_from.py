"""Old name of `provenance`."""

from hf_rspin.training.provenance import check_made_from, corpus_key  # noqa: F401
