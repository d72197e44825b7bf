"""The commands of `hf-rspin`, one module with a `main` each."""
