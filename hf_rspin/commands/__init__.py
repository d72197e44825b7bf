"""Commands of `hf-rspin`, a module each with a `main`; `console` chooses among them."""
