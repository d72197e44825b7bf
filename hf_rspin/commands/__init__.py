"""The commands of `hf-rspin`, a module each."""
