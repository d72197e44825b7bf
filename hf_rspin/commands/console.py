"""The command `hf-rspin`: one word chooses what is done, and is imported only then.

hf-rspin COMMAND --help
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module

import hf_rspin

# command -> module in `commands`, fixed options of its main, what it does
COMMANDS: dict[str, tuple[str, dict[str, str], str]] = {
    "adapt": ("adapt", {}, "an encoder to a folder of your own recordings, without labels"),
    "train": ("train", {}, "Spin, R-Spin, LASER, SCORE, distillation, pre-training, elastic, CTC"),
    "labels": ("labels", {}, "pseudo-labels of a corpus: units and acoustic pieces"),
    "distill": ("train", {"objective": "distill"}, "a smaller encoder from one or two teachers"),
    "finetune-ctc": ("train", {"objective": "ctc"}, "speech recognition on transcribed speech"),
    "evaluate": ("evaluate", {}, "encoders side by side, clean and distorted, with intervals"),
    "analyse": ("analyse", {}, "layer by layer: speakers, phones, words, units, cost"),
    "units": ("units", {}, "units and acoustic pieces of a folder of speech, with times"),
    "features": ("features", {}, "hidden states of chosen layers of a folder of speech"),
    "align": ("align", {}, "times of phones and words, by forced alignment"),
    "convert": ("convert", {}, "checkpoints of the authors into folders"),
    "export": ("export", {}, "an encoder with its head as one ONNX file"),
    "convert-attention": ("convert_attention", {}, "SummaryMixing in place of attention"),
    "search-subnet": ("search_subnet", {}, "the best subnet of an elastic encoder in a budget"),
    "demo": ("demo", {}, "a page to try models in: distort a recording, see its units"),
    "push": ("push", {}, "upload a folder to the Hub"),
    "configs": ("configs", {}, "the configs that ship with the package"),
}
OTHER_NAMES = {"analyze": "analyse", "ctc": "finetune-ctc"}


def main() -> None:
    """Run the command that the first word names.

    Raises:
        SystemExit: there is no such command; or as the command ends.
    """
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return
    if name in ("--version", "version"):
        sys.stdout.write(f"hf-rspin {hf_rspin.__version__}\n")
        return
    name = OTHER_NAMES.get(name, name).replace("_", "-")
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS)
        hint = f"did you mean {' or '.join(close)}?" if close else "see `hf-rspin --help`."
        sys.exit(f"got the command {name!r}; {hint}")
    module, options, _ = COMMANDS[name]
    sys.argv[0] = f"hf-rspin {name}"
    try:
        import_module(f"hf_rspin.commands.{module}").main(rest, **options)
    except BrokenPipeError:  # of `| head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def usage() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, _, what) in COMMANDS.items()]
    return "\n".join([
        "Self-supervised fine-tuning of speech encoders for noisy rooms and many voices.\n",
        "    hf-rspin COMMAND [config.yaml ...] [--option value ...]\n",
        *lines,
        "\n`hf-rspin COMMAND --help` says what a command does and lists its options.\n",
    ])  # fmt: skip
