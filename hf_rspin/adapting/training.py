"""R-Spin's trainer from a recipe: the options that `hf-rspin train` would be given."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hf_rspin.adapters import AdapterArguments
from hf_rspin.adapting.recipe import Recipe
from hf_rspin.configs import shipped_config
from hf_rspin.training.cli import parse_arguments
from hf_rspin.training.corpus_arguments import TrainingCorpusArguments
from hf_rspin.training.model_arguments import ModelArguments, RSpinArguments
from hf_rspin.training.run import build_rspin
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import TwoViewTrainingArguments
from hf_rspin.training.view_arguments import ViewArguments

CLASSES = (TrainingCorpusArguments, ViewArguments, ModelArguments, AdapterArguments,
           RSpinArguments, TwoViewTrainingArguments)  # fmt: skip
MOST_LOGS = 40


@dataclass(frozen=True)
class TrainingSetup:
    """Where a run reads and writes, and on what it computes.

    Attributes:
        encoder: folder, Hub id or bundled.
        corpus: of `cut_all`.
        pseudo_labels: folder of the pieces.
        output_dir: for checkpoints and the model.
        noise: folder, or synthetic.
        device: cpu or cuda.
        bf16: autocast.
        batch_seconds: speech (one view) in memory at once.
        save_steps: updates between two checkpoints.
        workers: processes that make views.
        seed: of everything.
    """

    encoder: str
    corpus: Path
    pseudo_labels: Path
    output_dir: Path
    noise: str
    device: str
    bf16: bool
    batch_seconds: float
    save_steps: int
    workers: int
    seed: int

    def options(self, recipe: Recipe, **more: object) -> list[str]:
        """Return the command line of the run, after the script; `more` wins."""
        values: dict[str, object] = {
            "encoder": self.encoder, "corpus": self.corpus, "corpus_split": "train",
            "noise": self.noise, "noise_split": "auto", "pseudo_labels": self.pseudo_labels,
            "output_dir": self.output_dir, "batch_seconds": f"{self.batch_seconds:g}",
            "gradient_accumulation_steps": accumulation(recipe, self.batch_seconds),
            "max_steps": recipe.max_steps, "save_steps": self.save_steps,
            "logging_steps": max(1, recipe.max_steps // MOST_LOGS),
            "dataloader_num_workers": self.workers, "bf16": self.bf16, "seed": self.seed,
            "use_cpu": self.device == "cpu",
        }  # fmt: skip
        if recipe.warmup is not None:
            values["warmup_steps"] = recipe.warmup
        values |= more
        files = [str(shipped_config(name)) for name in recipe.files]
        return files + [f"--{name}={value}" for name, value in values.items()]

    def trainer(self, recipe: Recipe, **more: object) -> SpeechTrainer:
        """Build the trainer.

        Args:
            recipe: of the run.
            **more: options that differ, by name.

        Raises:
            ValueError: noise, encoder or corpus cannot be used.
        """
        return build_rspin(*parse_arguments(*CLASSES, arguments=self.options(recipe, **more)))

    def command(self, recipe: Recipe) -> str:
        """Return the command that trains the same by hand, into another folder."""
        folder = self.output_dir.with_name(f"{self.output_dir.name}_by_hand")
        options = [Path(one).name if one.endswith(".yaml") else one.replace("=", " ", 1)
                   for one in self.options(recipe, output_dir=folder)]  # fmt: skip
        words = ["hf-rspin", "train", "--objective", "rspin"]
        return " ".join([*words, *(_quoted(one) for one in options)])


def accumulation(recipe: Recipe, batch_seconds: float) -> int:
    """Return how many batches make one update."""
    return max(1, round(recipe.update_seconds / batch_seconds))


def _quoted(option: str) -> str:
    name, space, value = option.partition(" ")
    return f"{name}{space}{shlex.quote(value)}" if space else name
