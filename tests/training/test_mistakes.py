"""What a user did wrong is one sentence; what the program did wrong keeps its traceback."""

import pytest
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from hf_rspin.audio import AudioError
from hf_rspin.data.checks import ConfigurationError
from hf_rspin.device import check_device
from hf_rspin.models import RSpinHubertConfig
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error


def raised(action, *kinds):
    with pytest.raises(SystemExit) as found, exit_on_user_error(*kinds):
        action()
    return found.value.code


def fail(error):
    def action():
        raise error

    return action


def test_mistakes_become_one_line():
    assert raised(fail(ValueError("first\n   second"))) == "first second"
    assert raised(fail(FileNotFoundError("no such folder"))) == "no such folder"
    assert raised(fail(ValueError())) == "ValueError"
    assert raised(lambda: RSpinHubertConfig(temperature=0)) == (
        "temperature is 0; expected a positive, finite number."
    )
    assert "'codebook_size' expected int" in raised(lambda: RSpinHubertConfig(codebook_size=1.5))


def test_a_list_of_reasons_keeps_its_lines():
    error = ConfigurationError("Training cannot start:\n  1. a\n  2. b")
    assert raised(fail(error), WHILE_RUNNING) == str(error)
    assert raised(fail(AudioError("a.wav is silent.")), WHILE_RUNNING) == "a.wav is silent."


def test_damaged_weights_are_said_to_be(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"half")
    message = raised(lambda: load_file(tmp_path / "model.safetensors"))
    assert message.startswith("a file of weights is damaged (")


class Silent(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise AudioError("a.wav is silent: remove it.")


def test_a_mistake_met_by_a_worker_is_one_sentence_too():
    loader = DataLoader(Silent(), num_workers=1)
    assert raised(lambda: next(iter(loader)), WHILE_RUNNING) == "a.wav is silent: remove it."


@pytest.mark.parametrize(
    ("error", "kinds"),
    [(RuntimeError("a"), ()), (KeyError("a"), ()), (TypeError("a"), ()),
     (ValueError("a"), (WHILE_RUNNING,)), (OSError("a"), (WHILE_RUNNING,))],
)  # fmt: skip
def test_defects_pass(error, kinds):
    with pytest.raises(type(error)), exit_on_user_error(*kinds):
        raise error


def test_a_device_that_is_not_there_is_named():
    assert check_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="'cpuu' cannot be used.*expected auto, cpu, or cuda"):
        check_device("cpuu")
