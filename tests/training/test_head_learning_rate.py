"""Heads with a learning rate of their own: apart in the optimiser, at their peak from the start."""

import pytest
import torch

from hf_rspin import LaserModel, RSpinModel, TwoViewTrainingArguments, encoder_folder
from hf_rspin.training.schedule import adam_of_everything, linear_warmup_and_decay


def arguments(tmp_path, **options):
    return TwoViewTrainingArguments(
        output_dir=str(tmp_path), learning_rate=1e-3, min_learning_rate=1e-6, report_to="none",
        **options,
    )  # fmt: skip


def optimizer_of(model, args):
    kind, options = adam_of_everything(model, args)
    return kind(**options)


def test_heads_start_at_their_peak_and_the_encoder_warms_up(tmp_path):
    model = RSpinModel.from_pretrained(encoder_folder(), num_pseudo_labels=7)
    optimizer = optimizer_of(model, arguments(tmp_path, head_learning_rate=1e-2))
    schedule = linear_warmup_and_decay(optimizer, 1e-6, warmup=4, total=11)
    encoder, heads = optimizer.param_groups
    named = [n for n, p in model.named_parameters() if any(p is q for q in heads["params"])]
    assert sorted({name.partition(".")[0] for name in named}) == ["auxiliary_head", "spin_head"]
    trained = sum(p.requires_grad for p in model.parameters())
    assert len(encoder["params"]) + len(heads["params"]) == trained
    rates = []
    for _ in range(11):
        rates.append((encoder["lr"], heads["lr"]))
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx((1e-6, 1e-2)) and rates[-1] == pytest.approx((1e-6, 1e-6))
    assert rates[4] == pytest.approx((1e-3, 1e-2 - (1e-2 - 1e-6) * 4 / 10))


def test_without_it_there_is_one_group_of_everything(tmp_path):
    model = RSpinModel.from_pretrained(encoder_folder(), num_pseudo_labels=7)
    (group,) = optimizer_of(model, arguments(tmp_path)).param_groups
    assert group["lr"] == 1e-3
    assert len(group["params"]) == sum(p.requires_grad for p in model.parameters())


def test_the_head_of_laser_is_one_too(tmp_path):
    model = LaserModel.from_pretrained(encoder_folder())
    optimizer = optimizer_of(model, arguments(tmp_path, head_learning_rate=1e-2))
    shapes = {tuple(p.shape) for p in optimizer.param_groups[1]["params"]}
    assert shapes == {tuple(p.shape) for p in model.laser_head.parameters()}
    assert not torch.equal(*[torch.tensor(g["lr"]) for g in optimizer.param_groups])


@pytest.mark.parametrize("options", [{"head_learning_rate": 1e-7},
                                     {"head_learning_rate": 1e-2, "use_adam": False}])  # fmt: skip
def test_what_cannot_be_followed_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"head_learning_rate is .*; expected min_learning_rate"):
        arguments(tmp_path, **options)
