"""Which utterances of a corpus to train on where not all of it is wanted."""
