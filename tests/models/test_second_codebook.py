"""A second codebook beside the first (DC-Spin), and statistics of the views (HuBERT-VIC)."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn.functional import normalize

from hf_rspin.losses import covariance_loss, invariance_loss, spin_loss, variance_loss
from hf_rspin.models import RSpinModel

from .conftest import NO_DROPOUT, STABLE, WITH_HEADS, build, import_from_folder, make_batch

STATISTICS = {"variance": variance_loss, "invariance": invariance_loss,
              "covariance": covariance_loss}  # fmt: skip


def valid_states(model, batch, layer=-1):
    """Return (valid frames, hidden) of each view, encoded as one padded batch."""
    views = []
    for view in ("", "perturbed_"):
        mask = batch[view + "attention_mask"]
        output = model.base_model(
            batch[view + "input_values"], mask, output_hidden_states=True
        )
        states = [*output.hidden_states[:-1], output.last_hidden_state][layer]
        frames = [(int(samples) - 400) // 320 + 1 for samples in mask.sum(1)]
        views.append(torch.cat([row[:n] for row, n in zip(states, frames, strict=True)]))
    return views


@pytest.mark.parametrize("layer", [-1, 2])
def test_both_codebooks_train_by_the_same_loss(family, layer):
    model = build(
        family, **STABLE, auxiliary_codebook_size=11, auxiliary_codebook_weight=0.3,
        spin_layer=layer, num_pseudo_labels=None,
    )  # fmt: skip
    batch = make_batch(model)
    output, states = model(**batch), valid_states(model, batch, layer)
    for head, name, prefix in (
        (model.spin_head, "spin_loss", ""),
        (model.auxiliary_codebook_head, "auxiliary_codebook_loss", "auxiliary_"),
    ):
        views = [normalize(head.projection(view), dim=1) for view in states]
        wanted = spin_loss(*views, normalize(head.codebook.weight, dim=1))
        torch.testing.assert_close(output[name], wanted.loss)
        torch.testing.assert_close(output[f"{prefix}code_perplexity"], wanted.code_perplexity)
    torch.testing.assert_close(
        output.loss, output.spin_loss + 0.3 * output.auxiliary_codebook_loss
    )
    assert output.code_logits.shape[-1] == 6 and output.units.max() < 6  # of the first
    output.loss.backward()
    for head in (model.spin_head, model.auxiliary_codebook_head):
        assert all(p.grad.norm() > 0 for p in head.parameters())
    assert not torch.equal(model.spin_head.projection.weight,
                           model.auxiliary_codebook_head.projection.weight)  # fmt: skip


def test_the_first_codebook_does_not_notice_the_second(family):
    alone, beside = (build(family, auxiliary_codebook_size=size) for size in (None, 11))
    assert alone.auxiliary_codebook_head is None
    names = alone.state_dict().keys()
    assert beside.state_dict().keys() - names == {
        f"auxiliary_codebook_head.{name}"
        for name in ("projection.weight", "projection.bias", "codebook.weight")
    }
    beside.load_state_dict(alone.state_dict(), strict=False)
    batch = make_batch(alone)
    for one, other in zip(alone(**batch).values(), beside(**batch).values(), strict=False):
        if one.ndim > 0:  # states, logits and units
            assert torch.equal(one, other)
    assert alone(**batch).spin_loss == beside(**batch).spin_loss
    assert alone(**batch).auxiliary_codebook_loss is None


def test_a_second_codebook_that_is_off_asks_for_no_gradient(family):
    model = build(family, auxiliary_codebook_size=11, auxiliary_codebook_weight=0.0)
    assert not any(p.requires_grad for p in model.auxiliary_codebook_head.parameters())
    assert model(**make_batch(model)).auxiliary_codebook_loss is None
    alone = build(family, auxiliary_codebook_size=11, spin_loss_weight=0, auxiliary_loss_weight=0)
    assert all(p.requires_grad for p in alone.auxiliary_codebook_head.parameters())
    assert not any(p.requires_grad for p in alone.spin_head.parameters())
    output = alone(**make_batch(alone))
    assert output.loss == output.auxiliary_codebook_loss


def test_it_is_saved_reloaded_and_travels(family, tmp_path, monkeypatch):
    model = build(family, auxiliary_codebook_size=11, **NO_DROPOUT)
    model.config.untrained_heads = False
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["auxiliary_codebook_size"] == 11
    again = RSpinModel.from_pretrained(folder).eval()
    travelled = import_from_folder(folder, "modeling_spin", monkeypatch).RSpinModel
    batch = make_batch(model)
    for other in (again, travelled.from_pretrained(folder).eval()):
        assert torch.equal(other(**batch).auxiliary_codebook_loss,
                           model(**batch).auxiliary_codebook_loss)  # fmt: skip


def test_a_folder_without_one_gets_a_fresh_one_beside_the_trained_first(family, tmp_path):
    model = build(family)
    model.config.untrained_heads = False
    model.save_pretrained(tmp_path)
    assert RSpinModel.from_pretrained(tmp_path).auxiliary_codebook_head is None
    more, report = RSpinModel.from_pretrained(
        tmp_path, auxiliary_codebook_size=9, output_loading_info=True
    )
    assert {key.split(".")[0] for key in report["missing_keys"]} == {"auxiliary_codebook_head"}
    assert torch.equal(more.spin_head.codebook.weight, model.spin_head.codebook.weight)
    norms = more.auxiliary_codebook_head.codebook.weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(9))


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_of_the_valid_frames_that_the_projection_reads(family, name):
    model = build(family, **STABLE, spin_layer=2, **{f"{name}_weight": 0.7})
    batch = make_batch(model)
    output = model(**batch)
    torch.testing.assert_close(output[name], STATISTICS[name](*valid_states(model, batch, 2)))
    parts = output.spin_loss + 5 * output.auxiliary_loss + 0.7 * output[name]
    torch.testing.assert_close(output.loss, parts)
    assert not any(other in output for other in STATISTICS if other != name)


def test_statistics_alone_can_be_trained(family):
    weights = {f"{name}_weight": 1.0 for name in STATISTICS}
    model = build(family, spin_loss_weight=0, num_pseudo_labels=None, **weights)
    output = model(**make_batch(model))
    assert output.spin_loss is None
    torch.testing.assert_close(output.loss, sum(output[name] for name in STATISTICS))
    output.loss.backward()
    assert not any(p.requires_grad for p in model.spin_head.parameters())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("auxiliary_codebook_size", 1, "auxiliary_codebook_size is 1; expected at least 2"),
        ("auxiliary_codebook_size", [32, 4096], "auxiliary_codebook_size.*expected"),
        ("auxiliary_codebook_weight", -1.0, "auxiliary_codebook_weight is -1.0; expected a finite"),
        ("variance_weight", float("inf"), "variance_weight is inf; expected a finite number"),
        ("covariance_weight", "much", "covariance_weight"),
    ],
)
def test_wrong_values_are_refused(family, field, value, message):
    with pytest.raises(StrictDataclassError, match=message):
        WITH_HEADS[family][0](**{field: value})
