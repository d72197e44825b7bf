"""A folder that others could not use is refused before its upload, with what is missing."""

import json
import shutil

import pytest

from hf_rspin.hub import check_folder, set_license
from hf_rspin.publishing.card_file import is_untouched

from .conftest import HAND_WRITTEN, spin_model


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    spin_model().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "model")


def change(path, **fields):
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_a_finished_folder_is_fit(folder):
    check_folder(folder)
    (folder / "README.md").write_text(HAND_WRITTEN)
    check_folder(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", r"no weights \(model.safetensors\)"),
        ("config.json", "no config.json that names a model_type"),
        ("preprocessor_config.json", r"no feature extractor \(preprocessor_config.json\)"),
        ("README.md", r"no model card \(README.md\)"),
        ("modeling_spin.py", "announces code in modeling_spin.py, which is not there"),
    ],
)
def test_what_is_missing_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"is not ready for the Hub: .*{message}") as found:
        check_folder(folder)
    assert "\n" not in str(found.value)


def test_damaged_and_missing_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        check_folder(folder)
    weights.unlink()
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"no weights \(model-1.safetensors\)"):
        check_folder(folder)


def test_normalisation_must_be_said(folder):
    change(folder / "preprocessor_config.json", do_normalize=None)
    with pytest.raises(ValueError, match="does not say do_normalize"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("# No metadata\n", "README.md has no metadata"),
        ("---\nlicense: mit\n---\n", "says nothing beside its metadata"),
        ("---\nlicense: [mit\n---\n# A\n", "the metadata of README.md cannot be read"),
        ("---\nmodel-index:\n- name: a\n---\n# A\n", "the metadata of README.md cannot be read"),
        ("---\nbase_model: /home/me/model\n---\n# A\n", "base_model in README.md is '/home/me"),
    ],
)
def test_the_card_must_be_valid(folder, card, message):
    (folder / "README.md").write_text(card)
    with pytest.raises(ValueError, match=message):
        check_folder(folder)


def test_an_adapter_must_name_a_base_that_others_have(folder):
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/name"}')
    check_folder(folder)
    for base, message in ((str(folder), "only this machine has"), ("", "names no base model")):
        change(folder / "adapter_config.json", base_model_name_or_path=base)
        with pytest.raises(ValueError, match=message):
            check_folder(folder)


def test_a_file_is_no_folder(folder):
    with pytest.raises(ValueError, match="README.md is no folder"):
        check_folder(folder / "README.md")


def test_a_licence_is_set_once(folder):
    card = folder / "README.md"
    set_license(folder, "apache-2.0")
    set_license(folder, "apache-2.0")
    assert "license: apache-2.0" in card.read_text() and is_untouched(card.read_text())
    with pytest.raises(ValueError, match="names 'apache-2.0'; write `license: mit`"):
        set_license(folder, "mit")
    card.write_text("---\nlanguage: en\n---\n# Mine\n")
    with pytest.raises(ValueError, match="was edited by hand; write `license: mit`"):
        set_license(folder, "mit")
