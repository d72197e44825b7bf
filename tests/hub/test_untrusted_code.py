"""Code that a model's folder names is not run, whatever standard input says."""

import builtins
import json
import shutil

import pytest

from hf_rspin.adapters import load_adapted
from hf_rspin.ctc.results import load_ctc_model
from hf_rspin.evaluation import load_features
from hf_rspin.hub.check import check_folder
from hf_rspin.hub.export import export_plain
from hf_rspin.hub.publish import push_to_hub
from hf_rspin.models import LaserModel, RSpinModel
from hf_rspin.models.loading import load_encoder
from hf_rspin.resources import encoder_folder
from hf_rspin.training.model_arguments import ModelArguments
from hf_rspin.units import UnitTokenizer

CODE = '''
from pathlib import Path
Path(__file__).parent.joinpath("ran").touch()
Path({marker!r}).touch()
'''
NAMES = ("AutoConfig", "AutoModel", "AutoModelForCTC", "AutoFeatureExtractor", "AutoProcessor")
READERS = {
    "encoder": load_encoder,
    "spin": RSpinModel.from_pretrained,
    "laser": LaserModel.from_pretrained,
    "tokenizer": UnitTokenizer.from_pretrained,
    "features": load_features,
    "training": lambda folder: ModelArguments(encoder=str(folder)).build(None),
    "ctc": load_ctc_model,
    "export": lambda folder: export_plain(folder, folder.parent / "exported"),
    "check": check_folder,
    "upload": lambda folder: push_to_hub(folder, "owner/name"),
    "adapter": load_adapted,
}


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Return a function that writes a folder with code; to every question the answer is yes."""
    monkeypatch.setattr(builtins, "input", lambda *_: "y")

    def write(model_type, adapter=False):
        folder = tmp_path / "stranger"
        shutil.copytree(encoder_folder(), folder)
        config = json.loads((folder / "config.json").read_text())
        auto_map = {name: "code.X" for name in NAMES} | {"AutoTokenizer": ["code.X", "code.X"]}
        config |= {"auto_map": auto_map, "model_type": model_type, "architectures": ["XForCTC"]}
        files = {"config": config,
                 "tokenizer_config": {"tokenizer_class": "Wav2Vec2CTCTokenizer"},
                 "preprocessor_config": {"feature_extractor_type": "X"},
                 "processor_config": {"processor_class": "X"}}  # fmt: skip
        for name, content in files.items():
            text = json.dumps(content | {"auto_map": auto_map})
            (folder / f"{name}.json").write_text(text)
        (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}))
        (folder / "code.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
        if adapter:
            content = {"peft_type": "LORA", "base_model_name_or_path": str(folder)}
            (folder / "adapter_config.json").write_text(json.dumps(content))
        return folder

    return write


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_type_is_refused_without_running_its_code(stranger, tmp_path, reader):
    folder = stranger("stranger", adapter=reader == "adapter")
    with pytest.raises(ValueError) as found:
        READERS[reader](folder)
    assert not (tmp_path / "ran").exists() and "custom code" not in str(found.value)


@pytest.mark.parametrize("reader", ["encoder", "spin", "features", "training", "ctc", "export"])
def test_of_a_known_type_ours_is_run(stranger, tmp_path, reader):
    READERS[reader](stranger("hubert"))
    assert not (tmp_path / "ran").exists()
