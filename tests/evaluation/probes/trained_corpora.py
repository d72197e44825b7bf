"""Tasks whose answer lies in one layer of the features, learned in a second."""

import numpy as np
import torch

from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probes.trained.examples import Utterances
from hf_rspin.evaluation.probes.trained.loop import Task
from hf_rspin.evaluation.probes.trained.models import PhoneProbe

PHONES = ["AA", "B", "CH", "D"]


def spoken(folder, count=60, frames_each=3):
    """Two layers; only layer 1 says which phone is spoken: store, and phones by blanks."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(len(PHONES), 8))
    texts, features = [], []
    for _ in range(count):
        # No equal neighbours: a probe that sees single frames cannot tell them apart.
        labels = rng.integers(1, len(PHONES), rng.integers(3, 8)).cumsum() % len(PHONES)
        shape = (frames_each * len(labels), 8)
        frames = means[np.repeat(labels, frames_each)] + rng.normal(0, 0.2, shape)
        features.append(torch.from_numpy(np.stack([rng.normal(size=shape), frames])).float())
        texts.append(" ".join(PHONES[label] for label in labels))
    return write_store(folder, iter(features), "key"), texts


def phone_task(store, texts, train=range(40), dev=range(40, 60)):
    """Learn the first utterances; no bar."""
    return Task(Utterances(store), texts, train, dev, progress=False)


def make_phones():
    """A probe for `spoken`."""
    return PhoneProbe(2, 8, PHONES, 16)
