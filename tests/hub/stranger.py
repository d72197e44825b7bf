"""Load models in a process that has no hf_rspin, from folders and from a Hub on loopback.

    python stranger.py folder_of_models

Each model's folder holds `given.pt`: a waveform and what the model made of it. Prints what was
loaded as what, and what was refused, as JSON, on the last line.
"""

import json
import sys
from pathlib import Path


class Blocker:
    """Makes hf_rspin a package that is not installed."""

    def find_spec(self, name, *arguments):
        """Refuse it."""
        if name.split(".")[0] == "hf_rspin":
            raise ImportError("hf_rspin is not installed here")


sys.meta_path.insert(0, Blocker())

import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCTC,
    HubertForCTC,
    HubertModel,
    WavLMForCTC,
    WavLMModel,
    pipeline,
)

PLAIN = {
    "hubert": (AutoModel, HubertModel, HubertForCTC, AutoModelForCTC),
    "wavlm": (AutoModel, WavLMModel, WavLMForCTC, AutoModelForCTC),
}
WITH_HEADS = ("rspin_hubert", "rspin_wavlm", "laser_hubert", "laser_wavlm")


def load_plain(name, given, **options):
    """Load with every class of the encoder's family; returns the names of what came."""
    loaded = []
    for loader in PLAIN[given["family"]]:
        model = loader.from_pretrained(name, **options).eval()
        with torch.no_grad():
            states = model(given["audio"], output_hidden_states=True).hidden_states
        for found, wanted in zip(states, given["hidden_states"], strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-6)
        loaded.append(type(model).__name__)
    return loaded


def load_heads(name, given, **options):
    """Load with the heads, whose code comes along; returns the name of the class."""
    model = AutoModel.from_pretrained(name, trust_remote_code=True, **options).eval()
    with torch.no_grad():
        loss = model(given["audio"], perturbed_input_values=given["audio"].flip(0)).loss
    torch.testing.assert_close(loss, given["loss"])
    return type(model).__name__


def main(folder: Path) -> dict:
    """Load everything; returns what came, by name."""
    came, given = {}, {}
    for name in WITH_HEADS:
        given[name] = torch.load(folder / name / "given.pt")
        came[name] = [
            *load_plain(folder / name, given[name]),
            load_heads(folder / name, given[name]),
            AutoFeatureExtractor.from_pretrained(folder / name).do_normalize,
        ]
    # a stranger who saves the model passes its code on
    model = AutoModel.from_pretrained(folder / "laser_wavlm", trust_remote_code=True)
    model.save_pretrained(folder / "passed_on")
    came["passed on"] = load_heads(folder / "passed_on", given["laser_wavlm"])

    for name in ("plain_hubert", "plain_wavlm"):
        came[name] = load_plain(folder / name, torch.load(folder / name / "given.pt"))
    recognize = pipeline("automatic-speech-recognition", str(folder / "ctc"))
    came["text"] = recognize(torch.load(folder / "ctc" / "given.pt")["audio"][0].numpy())["text"]

    came["hub"] = [
        *load_plain("user/rspin", given["rspin_hubert"]),
        load_heads("user/rspin", given["rspin_hubert"]),
    ]
    try:
        AutoModel.from_pretrained("user/laser", token=False)
    except OSError as error:
        came["refused"] = str(error)
    options = {"token": "secret-token"}
    came["private"] = load_heads("user/laser", given["laser_wavlm"], **options)
    return came


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(Path(sys.argv[1]))))
