"""How a view is added: a transform in a file of its own, and a name; then it is drawn and trained.

The worked example for CONTRIBUTING. In the package the class would be `hf_rspin/views/
packet_loss.py` and the name one line of `hf_rspin/views/registry.py`; nothing else is touched.
"""

import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.data import TwoViewCollator, TwoViewDataset, load_corpus
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.views import TRANSFORMS, SpinViews, Transform, build_views

RATE = 16_000
PACKET_SECONDS = 0.02


class PacketLoss(Transform):
    """A call in which packets of 20 ms get lost and are replaced by silence."""

    name = "packet_loss"

    def __init__(self, sampling_rate=RATE):
        self.sampling_rate = sampling_rate

    def draw(self, generator, utterance):
        packet = round(PACKET_SECONDS * self.sampling_rate)
        return generator.random(-(-utterance.num_samples // packet)) < 0.2  # (packets,)

    def apply(self, waveform, parameters):
        packet = round(PACKET_SECONDS * self.sampling_rate)
        lost = np.repeat(parameters, packet)[: len(waveform)]
        return np.where(lost, np.float32(0.0), waveform)


@pytest.fixture
def packet_loss(monkeypatch):
    monkeypatch.setitem(TRANSFORMS, "packet_loss", PacketLoss)


@pytest.fixture
def dataset(packet_loss, speech, tmp_path):
    for index in range(2):
        soundfile.write(tmp_path / f"{index}.wav", np.roll(speech, 5000 * index), RATE)
    views = build_views("spin", augmentations=["packet_loss"], augmentation_probability=1.0)
    return TwoViewDataset(load_corpus(tmp_path), views, seed=3, min_seconds=1.0)


def test_the_new_view_is_drawn_by_name_reproducibly_and_aligned(dataset):
    first, again, later = dataset[0, 1], dataset[0, 1], dataset[1, 1]
    np.testing.assert_array_equal(first.perturbed, again.perturbed)
    assert not np.array_equal(first.perturbed, later.perturbed)
    assert first.perturbed.shape == first.clean.shape
    packets = first.perturbed[: 320 * 100].reshape(100, 320)
    assert 5 < (packets == 0).all(axis=1).sum() < 40  # a fifth of the packets
    assert (first.clean != 0).mean() > 0.99  # the first view is left alone


def test_the_new_view_joins_the_presets_and_other_transforms(packet_loss, speech):
    mixed = SpinViews(augmentations=["packet_loss", PacketLoss()], augment_both_views=True)
    generators = tuple(np.random.default_rng(view) for view in range(2))
    pair = mixed(speech, generators)
    assert pair.applied.count("packet_loss") >= 1 and (pair.clean == 0).mean() > 0.1
    listed = build_views(["equalizer", "packet_loss"])
    assert listed(speech, generators).applied == ("equalizer", "packet_loss")


def test_a_model_trains_on_the_new_view(dataset):
    torch.manual_seed(0)
    model = RSpinHubertModel(
        RSpinHubertConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
            projection_size=8, codebook_size=6,
        )
    ).train()  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for epoch in range(6):
        batch = TwoViewCollator()(dataset.__getitems__([(epoch, 0), (epoch, 1)]))
        del batch["batch_info"]
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
