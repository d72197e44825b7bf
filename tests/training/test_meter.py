import pytest
import torch

from hf_rspin.training.loss_tracker import LossTracker, scalars


def test_means_over_micro_batches_and_then_begins_again():
    meter = LossTracker()
    for spin in (1.0, 2.0, 6.0):
        meter.update({"spin_loss": torch.tensor(spin), "accuracy": torch.tensor(0.5)})
    assert meter.compute(lambda x: x) == {"accuracy": 0.5, "spin_loss": 3.0}
    assert meter.compute(lambda x: x) == {}
    meter.update({"spin_loss": torch.tensor(7.0)})
    assert meter.compute(lambda x: x) == {"spin_loss": 7.0}


def test_ranks_weigh_by_their_micro_batches():
    meter = LossTracker()
    meter.update({"loss": torch.tensor(1.0)})
    # The other rank had two micro-batches of 4 each.
    assert meter.compute(lambda values: values + torch.tensor([8.0, 2.0]))["loss"] == 3.0


def test_totals_go_on_over_logs():
    meter = LossTracker()
    for _ in range(2):
        meter.add("seconds", 1800.0)
        meter.gather_totals(lambda values: 2 * values)  # two ranks alike
    assert meter.totals["seconds"] == pytest.approx(7200.0)


def test_scalars_are_the_named_parts_only(tiny):
    output = tiny.tiny_model()(torch.randn(2, 8000), perturbed_input_values=torch.randn(2, 8000))
    assert set(scalars(output)) == {
        "spin_loss", "accuracy", "code_perplexity", "probability_perplexity"
    }  # fmt: skip
