"""What is saved here loads in a process that has no hf_rspin, from a folder and from the Hub."""

import pytest
import torch


@pytest.fixture(scope="module")
def came(published, run_client, models_folder):
    """What `stranger.py` loaded; its own checks compare hidden states and losses."""
    return run_client("stranger.py", models_folder, token="")


HUBERT = ["HubertModel", "HubertModel", "HubertForCTC", "HubertForCTC"]
WAVLM = ["WavLMModel", "WavLMModel", "WavLMForCTC", "WavLMForCTC"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rspin_hubert", [*HUBERT, "RSpinModel", False]),
        ("rspin_wavlm", [*WAVLM, "RSpinModel", True]),  # front end of large models
        ("laser_hubert", [*HUBERT, "LaserModel", False]),
        ("laser_wavlm", [*WAVLM, "LaserModel", False]),
        ("plain_hubert", HUBERT),
        ("plain_wavlm", WAVLM),
        ("hub", [*HUBERT, "RSpinModel"]),
    ],
)
def test_every_loader_gets_the_same_encoder(came, name, expected):
    assert came[name] == expected


def test_a_stranger_passes_the_code_on(came, models_folder):
    assert came["passed on"] == "LaserModel"
    assert (models_folder / "passed_on" / "preprocessor_config.json").is_file()


def test_the_pipeline_recognises(came, models_folder):
    wanted = torch.load(models_folder / "ctc" / "given.pt")["text"]
    assert came["text"] == wanted and wanted


def test_a_private_repository_needs_a_token(came):
    assert "If this is a private repository, make sure to pass a token" in came["refused"]
    assert came["private"] == "LaserModel"
