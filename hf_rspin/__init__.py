"""Self-supervised fine-tuning of speech encoders: speaker- and noise-invariant clustering."""
