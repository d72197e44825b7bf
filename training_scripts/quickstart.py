"""Adapt the bundled encoder with R-Spin in a few minutes, on the sample or on your own audio.

    python training_scripts/quickstart.py --output_dir runs/quickstart [--audio folder]

Units (k-means of a hidden layer) -> acoustic pieces -> R-Spin -> a saved model, a table before /
after and `report.html`. Your own audio needs no labels: without speakers and phone alignments,
what needs them is left out.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from transformers import PreTrainedConfig, set_seed
from transformers.utils import logging as transformers_logging

from hf_rspin.adapting.before_after import (
    AFTER,
    BEFORE,
    build_evaluation,
    build_report,
    write_table,
)
from hf_rspin.adapting.cutting import cut_all
from hf_rspin.adapting.spans import draw_spans
from hf_rspin.adapting.survey import survey_folder
from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.device import has_fast_bfloat16, use_large_allocations
from hf_rspin.evaluation import Evaluation, EvaluationSet, LinearPhones, UnitProbe, load_features
from hf_rspin.evaluation.conditions import CLEAN
from hf_rspin.evaluation.precision import folder_precision
from hf_rspin.evaluation.table import layer_summary, markdown_table
from hf_rspin.models.encoder import layers_of
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder, plain_config
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.resources import encoder_folder, load_sample, sample_noises
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.training.cli import WHILE_RUNNING, exit_on_user_error, parse_arguments
from hf_rspin.training.model_arguments import ModelArguments
from hf_rspin.units import (
    AcousticPieces,
    FrameLabels,
    KMeans,
    extract_units,
    fit_kmeans,
    kmeans_units,
    layer_features,
)
from hf_rspin.units.learning import learn_pieces
from hf_rspin.utils import option
from hf_rspin.views import NoiseBank, RSpinViews

FRAMES_PER_UNIT = 10  # at least


@dataclass
class QuickstartArguments:
    """All that can be changed."""

    output_dir: str = option("runs/quickstart", "for model and report")
    audio: str | None = option(None, "your folder; none: the sample")
    encoder: str = option(str(encoder_folder()), "folder or Hub id")
    layer: int = option(5, "hidden state that the units cluster")
    num_units: int = option(300, "k-means clusters; of little audio fewer")
    vocab_size: int = option(320, "acoustic pieces")
    codebook_size: int = option(32, "codes of the Spin loss")
    noise_probability: float = option(0.5, "how often a view gets noise")
    spin_loss_weight: float = option(0.2, "weight of the Spin loss beside the acoustic pieces'")
    steps: int = option(120, "updates")
    batch_seconds: float = option(24.0, "seconds of each view per update")
    learning_rate: float = option(2e-4, "peak learning rate")
    head_learning_rate: float = option(1e-2, "peak learning rate of the fresh heads")
    most_seconds: float = option(1800.0, "of your audio, a random part this long is used")
    seed: int = option(0, "seed of everything")

    def __post_init__(self) -> None:
        for name in ("num_units", "codebook_size", "steps", "batch_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} is {getattr(self, name)}; expected more than 0.")
        if self.vocab_size < self.num_units:
            raise ValueError(
                f"--vocab_size is {self.vocab_size}; expected at least --num_units "
                f"({self.num_units}), which count as pieces."
            )


def check_encoder(arguments: QuickstartArguments) -> None:
    """Find the encoder, and the layer whose units are clustered.

    Raises:
        ValueError: there is no such encoder or layer.
    """
    arguments.encoder = resolve_encoder(arguments.encoder)
    content, _ = PreTrainedConfig.get_config_dict(arguments.encoder)
    count = plain_config(content).num_hidden_layers
    if not 0 <= arguments.layer <= count:
        raise ValueError(f"--layer is {arguments.layer}; this encoder has layers 0 to {count}.")


def load_audio(arguments: QuickstartArguments) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Return the utterances to adapt to, and others to measure on."""
    if arguments.audio is None:
        return load_sample("train"), load_sample("test")
    survey = survey_folder(arguments.audio)
    folder = Path(arguments.output_dir) / "corpus"
    shutil.rmtree(folder, ignore_errors=True)  # the recordings may be others
    spans = draw_spans(survey.recordings, arguments.most_seconds / 3600, arguments.seed)
    cut_all(spans, folder, "mix", 12.0, survey.skipped, seed=arguments.seed)
    train, test = (load_corpus(folder, split) for split in ("train", "test"))
    count = len(train) + len(test)
    print(f"{count} pieces of {len(survey.recordings)} recordings; {survey.skipped.summary()}")
    return train, test


def make_labels(
    arguments: QuickstartArguments, train: datasets.Dataset, output: Path
) -> tuple[FrameLabels, AcousticPieces]:
    """Cluster a layer of the encoder into units, and join units to acoustic pieces."""
    encoder = load_encoder(arguments.encoder)
    del layers_of(encoder)[arguments.layer + 1 :]  # one more: behind the last one may be a norm
    normalize = wants_normalized(arguments.encoder, encoder.config)
    features = layer_features(encoder, arguments.layer, has_fast_bfloat16("cpu"), normalize)
    sources = list(train["audio"])
    frames = int(50 * sum(train["duration"]))
    if arguments.num_units > frames // FRAMES_PER_UNIT:
        arguments.num_units = max(2, frames // FRAMES_PER_UNIT)
        print(f"      {arguments.num_units} units: there are {frames} frames to learn them from")
    kmeans = KMeans(arguments.num_units, arguments.seed, f"layer {arguments.layer}")
    for _ in range(2):
        kmeans.reset_counts()
        kmeans.num_utterances = 0
        fit_kmeans(kmeans, features, sources, batch_frames=50 * arguments.num_units)
    kmeans.save_pretrained(output / "kmeans")
    units = extract_units(kmeans_units(features, kmeans), train)
    pieces = learn_pieces(units, arguments.vocab_size, output / "acoustic_pieces")
    return units.map(pieces.encode, pieces.num_labels), pieces


def train_rspin(
    arguments: QuickstartArguments, train: datasets.Dataset, labels: FrameLabels, output: Path
) -> list[dict]:
    """Adapt all layers; save the model; return what was logged."""
    noises = list(sample_noises("seen", seed=1, takes=4).values())
    bank = NoiseBank(
        noises,
        speech_sources=list(train["audio"]),
        babble_probability=0.3,
        speech_names=train["id"][:],
    )
    views = RSpinViews(bank, noise_probability=arguments.noise_probability)
    dataset = TwoViewDataset(train, views, labels, arguments.seed, min_seconds=1.0, max_seconds=6.0)
    # Dropout pays off over thousands of updates, not over two hundred.
    no_dropout = dict.fromkeys(("hidden_dropout", "attention_dropout", "feat_proj_dropout"), 0.0)
    model = ModelArguments(
        encoder=arguments.encoder,
        codebook_size=arguments.codebook_size,
        spin_loss_weight=arguments.spin_loss_weight,
        encoder_config=no_dropout,
    ).build(labels.num_labels)
    training = TwoViewTrainingArguments(
        output_dir=str(output / "checkpoints"),
        overwrite_output_dir=True,
        max_steps=arguments.steps,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=False,  # at this verbosity transformers leaves the bar out
        warmup_steps=0.2,
        head_learning_rate=arguments.head_learning_rate,
        learning_rate=arguments.learning_rate,
        batch_seconds=arguments.batch_seconds,
        logging_steps=max(1, arguments.steps // 20),
        save_strategy="no",
        bf16=has_fast_bfloat16(),
        seed=arguments.seed,
    )
    trainer = TwoViewTrainer(model, training, dataset)
    trainer.run_arguments = (arguments,)
    own = "Own recordings" if arguments.audio else "The synthetic sample in the package hf_rspin"
    hours = sum(train["duration"]) / 3600
    trainer.card_info = ModelCardInfo(
        name="R-Spin quickstart",
        training_data=f"{own}: {len(train)} utterances, {hours:.3f} h.",
    )
    trainer.train()
    trainer.save_model(str(output / "model"))
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def make_evaluation(output: Path, train: datasets.Dataset, test: datasets.Dataset) -> Evaluation:
    """Return what measures encoders under distortions that training saw, and others.

    Results of an earlier run are removed: its recordings may have been others.
    """
    folder = output / "evaluation"
    shutil.rmtree(folder, ignore_errors=True)
    sets = [EvaluationSet.from_corpus(part, keep_waveforms=True) for part in (train, test)]
    return build_evaluation(folder, *sets)


def write_results(evaluation: Evaluation, history: list[dict], output: Path) -> str:
    """Write the long table and the report; return the table before / after as markdown."""
    table, said = write_table(evaluation, output)
    build_report(evaluation, history, "What R-Spin changed").write(output / "report.html")
    summary = layer_summary(table)
    return "\n\n".join([markdown_table(summary.headers, summary.rows), *evaluation.left_out, said])


def run(
    arguments: QuickstartArguments, train: datasets.Dataset, test: datasets.Dataset, output: Path
) -> None:
    """Measure, make pseudo-labels, adapt, measure again, report."""
    minutes = (sum(train["duration"]) / 60, sum(test["duration"]) / 60)
    print(f"[1/4] {minutes[0]:.1f} min to adapt to, {minutes[1]:.1f} min held out to measure on")
    evaluation = make_evaluation(output, train, test)
    bf16 = folder_precision(evaluation.folder, None, "cpu")
    evaluation.run(load_features(arguments.encoder, BEFORE, bf16))
    print("[2/4] units and acoustic pieces: the pseudo-labels")
    labels, pieces = make_labels(arguments, train, output)
    print(
        f"      {arguments.num_units} units, {pieces.vocab_size} pieces learned, "
        f"{pieces.num_labels} in use"
    )
    print(f"[3/4] R-Spin: {arguments.steps} updates")
    history = train_rspin(arguments, train, labels, output)
    print("[4/4] what changed")
    evaluation.run(load_features(str(output / "model"), AFTER, bf16))
    if evaluation.test.alignments is not None:
        evaluation.run(load_features("mfcc", "MFCC"), [LinearPhones.name, UnitProbe.name], [CLEAN])
    table = write_results(evaluation, history, output)
    print(f"\n{table}\n")
    print(f"model:  {output / 'model'}\nreport: {output / 'report.html'}")


def main() -> None:
    """Run the whole chain and say what changed."""
    (arguments,) = parse_arguments(QuickstartArguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    transformers_logging.set_verbosity_error()
    use_large_allocations()
    set_seed(arguments.seed)
    output = Path(arguments.output_dir)
    with exit_on_user_error():
        check_encoder(arguments)
        output.mkdir(parents=True, exist_ok=True)
        train, test = load_audio(arguments)
    with exit_on_user_error(WHILE_RUNNING):
        run(arguments, train, test, output)


if __name__ == "__main__":
    main()
