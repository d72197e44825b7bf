"""R-Spin and LASER in one objective."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModel

from hf_rspin.hub.export import export_plain
from hf_rspin.losses import laser_loss
from hf_rspin.models import LaserModel, RSpinLaserModel, RSpinModel
from hf_rspin.models.folders import load_spin

from .conftest import HEADS, PLAIN, SIZES, STABLE, import_from_folder, make_batch


def build(family, **options):
    torch.manual_seed(0)
    config = RSpinLaserModel.with_fields(PLAIN[family][0](**SIZES | STABLE), **(HEADS | options))
    return RSpinLaserModel(config).eval()


def test_the_loss_is_that_of_r_spin_and_a_share_of_lasers(family):
    model = build(family, laser_weight=0.2, idm_weight=0.5, idm_margin=0.9)
    batch = make_batch(model)
    output = model(**batch)
    frames = [12, 8]
    views = [
        model.laser_head(model.base_model(batch[f"{view}input_values"], batch["attention_mask"])
                         .last_hidden_state)
        for view in ("", "perturbed_")
    ]  # fmt: skip
    wanted = laser_loss(*views, frames, frames, alpha=0.5, margin=0.9)
    torch.testing.assert_close(output.laser_loss, wanted.loss)
    torch.testing.assert_close(output.idm_clean, wanted.idm_clean.mean())
    parts = output.spin_loss + 5 * output.auxiliary_loss + 0.2 * output.laser_loss
    torch.testing.assert_close(output.loss, parts)
    output.loss.backward()
    for head in (model.spin_head, model.auxiliary_head, model.laser_head):
        assert all(p.grad.norm() > 0 for p in head.parameters())


def test_defaults_are_those_of_laser_for_the_family(family):
    config = build(family).config
    wanted = {"hubert": (0.4, 1.1), "wavlm": (0.15, 1.0)}[family]
    assert (config.idm_weight, config.idm_margin) == wanted
    assert (config.laser_weight, config.objective) == (0.01, "R-Spin-LASER")


def test_frames_can_be_compared_one_by_one(family):
    output = (model := build(family, alignment="frames"))(**make_batch(model))
    assert output.soft_dtw_divergence is None and output.frame_distance > 0


def test_without_its_weight_it_is_r_spin(family):
    model = build(family, laser_weight=0.0, spin_layer=1, auxiliary_layer=2)
    rspin = RSpinModel(model.config).eval()
    rspin.load_state_dict(model.state_dict(), strict=False)
    batch = make_batch(model)
    output = model(**batch)
    assert output.laser_loss is None and output.loss == rspin(**batch).loss
    assert not any(p.requires_grad for p in model.laser_head.parameters())
    layers = model.base_model.encoder.layers
    assert not any(p.requires_grad for p in layers[2].parameters())
    with_laser = build(family, spin_layer=1, auxiliary_layer=2)
    assert all(p.requires_grad for p in with_laser.base_model.encoder.layers[2].parameters())


def test_saved_folders_load_as_all_that_they_hold(family, tmp_path, monkeypatch):
    model = build(family, alignment="frames")  # its travelled code has nothing to compile
    model.config.untrained_heads = False
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["auto_map"] == {"AutoModel": "modeling_rspin_laser.RSpinLaserModel"}
    batch = make_batch(model)
    wanted, waveforms = model(**batch), batch["input_values"]
    travelled = import_from_folder(folder, "modeling_rspin_laser", monkeypatch).RSpinLaserModel
    for model_class in (RSpinLaserModel, travelled):
        assert model_class.from_pretrained(folder).eval()(**batch).loss == wanted.loss
    units = load_spin(folder)(waveforms, batch["attention_mask"]).units
    assert torch.equal(units, wanted.units)
    laser = LaserModel.from_pretrained(folder).eval()
    assert torch.equal(laser.laser_head.projection.weight, model.laser_head.projection.weight)
    plain = AutoModel.from_pretrained(folder).eval()
    assert type(plain) is PLAIN[family][1]
    export_plain(folder, tmp_path / "plain")
    assert "R-Spin-LASER" in (tmp_path / "plain" / "README.md").read_text()
    assert not {"laser_weight", "idm_weight", "codebook_size"} & set(
        json.loads((tmp_path / "plain" / "config.json").read_text())
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("laser_weight", -0.1, "laser_weight is -0.1; expected a finite number"),
        ("frozen_teacher", True, "frozen_teacher is True; expected False"),
        ("alignment", "path", "alignment is 'path'; expected one of soft_dtw, frames"),
        ("layerdrop", 0.1, "layerdrop is 0.1; expected 0"),
        ("codebook_size", 1, "codebook_size is 1; expected at least 2"),
    ],
)
def test_wrong_values_are_refused(family, field, value, message):
    with pytest.raises(StrictDataclassError, match=message):
        build(family, **{field: value})
