"""A Hub on loopback, models to publish, and the processes of those who publish and load them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    HubertForCTC,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from hf_rspin import hub as hf_rspin_hub
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

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "training_scripts" / "push_to_hub.py"
TOKEN = "secret-token"
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
HAND_WRITTEN = "---\nlicense: mit\n---\n\n# Mine\n\nWritten by a person.\n"


def spin_model(seed=0, **options):
    """Return a tiny HuBERT with Spin heads."""
    torch.manual_seed(seed)
    config = RSpinHubertConfig(**SIZES, codebook_size=8, projection_size=8, **options)
    return RSpinHubertModel(config).eval()


def tiny_models():
    """Return a model of every class, by name; one has a front end of large models."""
    torch.manual_seed(0)
    heads = {"codebook_size": 8, "projection_size": 8}
    return {
        "rspin_hubert": RSpinHubertModel(RSpinHubertConfig(**SIZES, **heads)).eval(),
        "rspin_wavlm": RSpinWavLMModel(RSpinWavLMConfig(**SIZES, **LARGE, **heads)).eval(),
        "laser_hubert": LaserHubertModel(LaserHubertConfig(**SIZES, projection_size=8)).eval(),
        "laser_wavlm": LaserWavLMModel(LaserWavLMConfig(**SIZES, projection_size=8)).eval(),
    }


def note_outputs(model, folder):
    """Write what a model makes of noise into `given.pt`."""
    audio = torch.randn(2, 4000)
    with torch.no_grad():
        given = {
            "audio": audio,
            "family": model.config.model_type,
            "hidden_states": model(audio, output_hidden_states=True).hidden_states,
        }
        if hasattr(model, "acoustic_pieces"):
            given["loss"] = model(audio, perturbed_input_values=audio.flip(0)).loss
    torch.save(given, folder / "given.pt")


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory):
    """Models with heads, plain ones made of them, and a recogniser with its tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    for name, model in tiny_models().items():
        model.save_pretrained(folder / name)
        note_outputs(model, folder / name)
        if name.startswith("rspin"):
            family = model.config.model_type
            hf_rspin_hub.export_plain(model, folder / f"plain_{family}")
            note_outputs(model, folder / f"plain_{family}")
    for seed, name in enumerate(("spin", "broken", "shaky")):
        spin_model(seed).save_pretrained(folder / name)
    _save_recogniser(folder / "plain_hubert", folder / "ctc")
    (folder / "card.md").write_text(HAND_WRITTEN)
    return folder


def _save_recogniser(plain, folder):
    letters = ["<pad>", "<unk>", "|", "a", "b", "c"]
    model = HubertForCTC.from_pretrained(plain, vocab_size=len(letters)).eval()
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(folder / "vocab.json")
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(plain)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    audio = torch.randn(1, 16_000)
    with torch.no_grad():
        text = tokenizer.batch_decode(model(audio).logits.argmax(-1))[0]
    torch.save({"audio": audio, "text": text}, folder / "given.pt")


@pytest.fixture(scope="session")
def hub():
    """The Hub; the token of its only user is known to `run_client`."""
    from .hub_server import HubServer

    with HubServer({TOKEN: "user"}) as server:
        server.break_uploads("user/broken")
        server.break_uploads("user/shaky", status=None)
        yield server


@pytest.fixture(scope="session")
def run_client(hub, tmp_path_factory):
    """Run a file of this folder as a client of the Hub; returns the JSON of its last line."""
    cache = tmp_path_factory.mktemp("cache")

    def run(script, *arguments, token=TOKEN):
        environment = {
            name: value for name, value in os.environ.items()
            if not name.endswith("_OFFLINE") and "proxy" not in name.lower()
        }  # fmt: skip
        environment |= {
            "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(cache / script), "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        client = subprocess.run(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            env=environment, cwd=cache, capture_output=True, text=True,
        )  # fmt: skip
        assert client.returncode == 0, client.stderr[-4000:]
        return json.loads(client.stdout.splitlines()[-1]) | {"stderr": client.stderr}

    return run


@pytest.fixture(scope="session")
def published(models_folder, run_client):
    """What the steps of `publisher.py` answered."""
    return run_client("publisher.py", models_folder, SCRIPT)
