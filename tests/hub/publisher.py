"""Upload models as their makers do, in a process whose Hub is on loopback.

    python publisher.py folder_of_models script

The folder holds `spin`, a finished folder, and `card.md`, a card that a person wrote. Prints what
each step answered, as JSON, on the last line. The Hub's `user/broken` breaks uploads.
"""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

from huggingface_hub import EvalResult, HfApi

from hf_rspin import hub
from hf_rspin.models import LaserWavLMModel, RSpinHubertModel
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.units import AcousticPieces

FACTS = hub.ModelCardInfo(
    license="apache-2.0",
    base_model="user/base",
    results=[
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type="user/speech",
            dataset_name="Speech",
            dataset_split="test",
            metric_type="per",
            metric_value=71.2,
        )
    ],
)


def refusal(function, *arguments, **options) -> str:
    """Return the message with which a call fails."""
    try:
        function(*arguments, **options)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def script(path: str, *arguments: str) -> str:
    """Return what a script prints, or the message that it ends with."""
    sys.argv, out = [path, *arguments], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        return f"exit: {error}"
    return out.getvalue()


def main(folder: Path, push_script: str) -> dict[str, str]:
    """Run every step; returns their answers by name."""
    said, spin = {}, str(folder / "spin")
    model = RSpinHubertModel.from_pretrained(folder / "rspin_hubert")
    model.acoustic_pieces = AcousticPieces.train([[1, 2, 1, 2], [3, 1, 2]], 5)
    said["model"] = model.push_to_hub("user/rspin")
    laser = LaserWavLMModel.from_pretrained(folder / "laser_wavlm")
    said["private"] = hub.push_to_hub(laser, "user/laser", private=True, card=FACTS)
    said["saved"] = str(
        laser.save_pretrained(folder / "again", push_to_hub=True, repo_id="user/saved")
    )
    said["script"] = script(push_script, spin, "user/spin", "--license", "mit", "--message", "v1")
    said["incomplete"] = script(push_script, str(folder), "user/nothing")
    said["public"] = refusal(hub.push_to_hub, spin, "user/rspin", private=True)
    said["no token"] = script(push_script, spin, "user/mine", "--token", "wrong")
    said["foreign"] = refusal(hub.push_to_hub, spin, "other/name")
    said["broken"] = refusal(hub.push_to_hub, folder / "broken", "user/broken")
    said["shaky"] = hub.push_to_hub(folder / "shaky", "user/shaky")

    # a person edits the card on the Hub, and creates a repository there with a licence
    api, written = HfApi(), (folder / "card.md").read_bytes()
    for name, text in (("user/rspin", written), ("user/page", b"---\nlicense: mit\n---\n")):
        api.create_repo(name, exist_ok=True)
        api.upload_file(path_or_fileobj=text, path_in_repo="README.md", repo_id=name)
        model.push_to_hub(name)

    args = TwoViewTrainingArguments(
        output_dir=str(folder / "run"), use_cpu=True, push_to_hub=True, hub_model_id="user/run"
    )
    said["trainer"] = str(TwoViewTrainer(model, args).push_to_hub())
    return said


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
