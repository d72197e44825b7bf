"""`save_pretrained` writes everything that belongs to a model, and nothing of another."""

import json
import shutil

import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    HubertModel,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from hf_rspin.hub import ModelCardInfo, save_for_hub
from hf_rspin.models import LaserHubertModel, RSpinHubertModel
from hf_rspin.models.configuration import fields_of_heads
from hf_rspin.units import AcousticPieces

from .conftest import HAND_WRITTEN, LARGE, spin_model, tiny_models

PIECES = AcousticPieces.train([[1, 2, 1, 2, 3]], 3, progress=False)


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("name", ["rspin_hubert", "rspin_wavlm", "laser_hubert", "laser_wavlm"])
def test_a_folder_is_complete(name, tmp_path):
    model = tiny_models()[name]
    model.acoustic_pieces, model.card_info = PIECES, ModelCardInfo(license="mit")
    model.save_pretrained(tmp_path)
    config, family = config_of(tmp_path), name.split("_")[1]
    assert config["model_type"] == family
    code = {"rspin": "modeling_spin.RSpinModel", "laser": "modeling_laser.LaserModel"}
    assert config["auto_map"] == {"AutoModel": code[name.split("_")[0]]}
    assert AcousticPieces.from_pretrained(tmp_path).num_labels == PIECES.num_labels
    assert "license: mit" in (tmp_path / "README.md").read_text()
    suffixes = {path.suffix for path in tmp_path.iterdir()}
    assert suffixes == {".json", ".md", ".py", ".safetensors"}
    extractor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert extractor["do_normalize"] is (config["feat_extract_norm"] == "layer")


def test_saving_leaves_no_trace_in_the_config(tmp_path):
    model = spin_model()
    before = model.config.to_dict()
    model.save_pretrained(tmp_path / "a")
    after = model.config.to_dict()
    assert "auto_map" not in after
    assert {k: v for k, v in after.items() if v != before.get(k)}.keys() <= {
        "architectures", "dtype"
    }  # fmt: skip
    # as it comes from the Hub, which names the repository of the code
    again = RSpinHubertModel.from_pretrained(tmp_path / "a")
    again.config.auto_map = {"AutoModel": "user/name--modeling_spin.RSpinModel"}
    again.save_pretrained(tmp_path / "b")
    assert config_of(tmp_path / "b") == config_of(tmp_path / "a")


def test_the_fields_of_other_heads_do_not_stay(tmp_path):
    spin_model().save_pretrained(tmp_path / "spin")
    LaserHubertModel.from_pretrained(tmp_path / "spin").save_pretrained(tmp_path / "laser")
    found = config_of(tmp_path / "laser").keys() & fields_of_heads()
    assert "soft_dtw_gamma" in found and "codebook_size" not in found
    RSpinHubertModel.from_pretrained(tmp_path / "laser").save_pretrained(tmp_path / "again")
    assert "soft_dtw_gamma" not in config_of(tmp_path / "again")


def test_the_extractor_of_a_user_stays(tmp_path):
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    spin_model().save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is True
    spin_model().save_pretrained(tmp_path)  # once more, over a model that is there
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is True
    assert "of zero mean and unit variance" in (tmp_path / "README.md").read_text()


def test_the_extractor_of_another_front_end_does_not_stay(tmp_path):
    spin_model().save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is False
    spin_model(**LARGE).save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is True


def test_the_extractor_inside_a_processor_is_enough(tmp_path):
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}')
    tokenizer = Wav2Vec2CTCTokenizer(tmp_path / "vocab.json")
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(tmp_path)
    spin_model().save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is True


def test_other_processes_of_a_run_write_nothing(tmp_path):
    spin_model().save_pretrained(tmp_path, is_main_process=False)
    assert not any(tmp_path.iterdir())


def test_a_readme_of_a_person_stays(tmp_path):
    (tmp_path / "README.md").write_text(HAND_WRITTEN)
    spin_model().save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == HAND_WRITTEN
    assert "not recorded" in (tmp_path / "README.generated.md").read_text()


def test_only_the_files_that_the_code_needs_are_copied(tmp_path):
    spin_model().save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.glob("*.py")}
    assert len(names) <= 15
    text = "".join(path.read_text() for path in tmp_path.glob("*.py"))
    for name in names - {"modeling_spin.py"}:
        assert f"from .{name.removesuffix('.py')} import" in text, name
    assert "from hf_rspin" not in text
    LaserHubertModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert not (tmp_path / "modeling_spin.py").exists()  # left by the model before
    (tmp_path / "mine.py").write_text("print()")
    spin_model().save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == names | {"mine.py"}


def test_weights_are_safetensors_alone_and_shards_are_counted(tmp_path):
    spin_model().save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    RSpinHubertModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["with heads", "plain"])
def test_save_for_hub_writes_pieces_and_card(kind, tmp_path):
    model = spin_model()
    if kind == "plain":
        model.base_model.save_pretrained(tmp_path / "plain")
        model = HubertModel.from_pretrained(tmp_path / "plain")
        shutil.rmtree(tmp_path / "plain")
    facts = ModelCardInfo(name="Mine", license="mit", language="en")
    save_for_hub(model, tmp_path, PIECES, facts)
    assert AcousticPieces.from_pretrained(tmp_path).num_labels == PIECES.num_labels
    assert AutoFeatureExtractor.from_pretrained(tmp_path).do_normalize is False
    text = (tmp_path / "README.md").read_text()
    assert "# Mine" in text and "acoustic_pieces.json" in text
    with torch.no_grad():
        audio = torch.randn(1, 4000)
        loaded = type(model).from_pretrained(tmp_path).eval()
        torch.testing.assert_close(
            loaded(audio).last_hidden_state, model.eval()(audio).last_hidden_state
        )
