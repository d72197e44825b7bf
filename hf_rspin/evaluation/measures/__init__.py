"""Numbers from arrays: no model, no corpus, no file is needed to compute or to test them."""
