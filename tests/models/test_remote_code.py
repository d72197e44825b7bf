"""A folder saved with its code loads, heads and all, in a process that has no hf_rspin."""

import os
import subprocess
import sys

import pytest
import torch

from hf_rspin.models import (
    LaserHubertConfig,
    LaserHubertModel,
    LaserWavLMConfig,
    LaserWavLMModel,
    RSpinHubertConfig,
    RSpinHubertModel,
    RSpinWavLMConfig,
    RSpinWavLMModel,
)

from .conftest import SIZES

STRANGER = """
import sys

class Blocker:
    def find_spec(self, name, *arguments):
        if name.split(".")[0] == "hf_rspin":
            raise ImportError("hf_rspin is not installed here")

sys.meta_path.insert(0, Blocker())
import torch
from transformers import AutoModel
for folder in sys.argv[1:]:
    model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    given = torch.load(folder + "/given.pt")
    with torch.no_grad():
        loss = model(given["audio"], perturbed_input_values=given["audio"].flip(0)).loss
    torch.testing.assert_close(loss, given["loss"])
    print(type(model).__name__)
"""


@pytest.fixture
def auto_classes():
    """Let the classes save their code; undone afterwards, as other tests save without."""
    classes = [RSpinHubertModel, RSpinWavLMModel, LaserHubertModel, LaserWavLMModel]
    for model_class in classes:
        model_class.register_for_auto_class("AutoModel")
    yield
    for model_class in classes:
        model_class._auto_class = None


def test_a_stranger_loads_the_heads_and_gets_the_same_loss(tmp_path, auto_classes):
    models = [
        RSpinHubertModel(RSpinHubertConfig(**SIZES, codebook_size=8)),
        RSpinWavLMModel(RSpinWavLMConfig(**SIZES, codebook_size=8)),
        LaserHubertModel(LaserHubertConfig(**SIZES)),
        LaserWavLMModel(LaserWavLMConfig(**SIZES)),
    ]
    audio = torch.randn(2, 4000)
    folders = [tmp_path / type(model).__name__ for model in models]
    for model, folder in zip(models, folders, strict=True):
        with torch.no_grad():
            loss = model.eval()(audio, perturbed_input_values=audio.flip(0)).loss
        model.save_pretrained(folder)
        torch.save({"audio": audio, "loss": loss}, folder / "given.pt")
    environment = {
        **os.environ, "PYTHONPATH": "", "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"
    }  # fmt: skip
    stranger = subprocess.run(
        [sys.executable, "-c", STRANGER, *map(str, folders)],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert stranger.returncode == 0, stranger.stderr[-3000:]
    assert stranger.stdout.split() == [type(model).__name__ for model in models]
