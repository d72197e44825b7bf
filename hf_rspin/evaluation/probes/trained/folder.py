"""A trained probe as a folder: `config.json` and `probe.safetensors`, whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hf_rspin.evaluation.probes.trained.base import TrainedProbe
from hf_rspin.evaluation.probes.trained.models import CharacterProbe, PhoneProbe, UtteranceProbe
from hf_rspin.utils import read_json, write_json
from hf_rspin.whole_folders import repair_folder, whole_folder

CONFIG, WEIGHTS = "config.json", "probe.safetensors"
KINDS: dict[str, type[TrainedProbe]] = {
    one.kind: one for one in (PhoneProbe, CharacterProbe, UtteranceProbe)
}


def save_probe(folder: str | Path, probe: TrainedProbe, training: dict[str, Any]) -> None:
    """Write a probe; a process that is killed meanwhile leaves no folder, or the former one.

    Args:
        folder: new, empty, or holding a probe.
        probe: trained.
        training: how it was trained, as JSON values; `read_training` gives it back.

    Raises:
        FileExistsError: the folder holds something else.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in probe.state_dict().items()}
    with whole_folder(Path(folder), WEIGHTS, "probe") as written:
        write_json(written / CONFIG, probe.config() | {"training": training}, indent=1)
        save_file(state, written / WEIGHTS)


def is_probe(folder: str | Path) -> bool:
    """Say whether a folder holds a trained probe."""
    repair_folder(folder)
    return all((Path(folder) / name).is_file() for name in (CONFIG, WEIGHTS))


def load_probe(folder: str | Path, device: str = "cpu") -> TrainedProbe:
    """Return a trained probe, ready for `recognize`.

    Args:
        folder: that `save_probe` wrote: one of `probes/` of an evaluation, for example.
        device: for the weights.

    Returns:
        A module in eval mode: `recognize(features)` makes of features (layers, frames, dim) of
        the encoder it was trained on phones, a text, or the name of a speaker.

    Raises:
        FileNotFoundError: the folder holds no probe.
        ValueError: it holds one that cannot be read.

    Example:
            probe = load_probe("runs/evaluation/probes/pr-0123456789abcdef")
            probe.recognize(load_features("facebook/hubert-base-ls960")(waveform))  # "HH AH L OW"
    """
    config = _read_config(folder)
    try:
        made = KINDS[config["probe"]](
            config["num_layers"], config["dim"], config["classes"], **config["sizes"]
        )
        made.load_state_dict(load_file(Path(folder) / WEIGHTS))
    except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
        what = " ".join(str(error).split())
        raise ValueError(
            f"the probe in {folder} cannot be read ({what}); delete the folder and train it again."
        ) from error
    return made.to(device).eval()


def read_training(folder: str | Path) -> dict[str, Any]:
    """Return how the probe in a folder was trained, as given to `save_probe`.

    Raises:
        FileNotFoundError: the folder holds no probe.
    """
    return _read_config(folder)["training"]


def _read_config(folder: str | Path) -> dict[str, Any]:
    if not is_probe(folder):
        raise FileNotFoundError(
            f"{folder} holds no trained probe; expected {CONFIG} and {WEIGHTS} in it."
        )
    config = read_json(Path(folder) / CONFIG)
    if config is None:
        raise ValueError(f"{folder}/{CONFIG} is damaged; delete the folder and train it again.")
    return config
