"""How well spoken words find takes of the same word, in the layers of frozen encoders.

    python training_scripts/evaluate_retrieval.py --corpus folder_of_takes \
        --encoders bundled runs/laser --takes 20

The word of a take is the folder it lies in, or the column `word` of metadata.csv. Every take is a
query, all others are candidates; prints mean average precision and the share of right first
matches. Options: `--help`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np

from hf_rspin.audio import audio_name, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.evaluation import load_features, retrieve
from hf_rspin.evaluation.features import EncoderFeatures, needs_no_model
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.training.run import show_progress
from hf_rspin.utils import option


@dataclass
class RetrievalArguments:
    """What is compared on which takes."""

    corpus: str = option("", "folder of takes, a folder per word")
    encoders: list[str] = option(["bundled"], "folders or Hub ids, bundled, log-mel or mfcc")
    layers: list[int] = option([-1], "hidden states compared; -1 is the last")
    takes: int = option(20, "takes of each word, drawn at random")
    max_seconds: float = option(6.0, "longer takes are left out")
    seed: int = option(0, "which takes are drawn")


def choose(corpus: datasets.Dataset, arguments: RetrievalArguments) -> tuple[list[int], list[str]]:
    """Return the rows of some takes of each word, and their words.

    Raises:
        ValueError: fewer than two words, or none with two takes.
    """
    if "word" in corpus.column_names:
        words = [str(word) for word in corpus["word"]]
    else:
        words = [Path(audio_name(cell)).parent.name for cell in corpus["audio"]]
    generator = np.random.default_rng(arguments.seed)
    short = np.asarray(corpus["duration"]) <= arguments.max_seconds
    rows = []
    for word in sorted(set(words)):
        takes = np.flatnonzero((np.asarray(words) == word) & short)
        rows += sorted(generator.permutation(takes)[: arguments.takes].tolist())
    chosen = [words[row] for row in rows]
    if len(set(chosen)) < 2 or len(chosen) == len(set(chosen)):
        raise ValueError(
            f"the corpus has takes of {sorted(set(chosen))}; expected at least two words, one of "
            "them twice: a folder per word, or a column `word`."
        )
    return rows, chosen


def check_layers(encoder_features: EncoderFeatures, layers: list[int]) -> None:
    """Refuse layers that an encoder does not have.

    Raises:
        ValueError: see above.
    """
    count = encoder_features.num_layers
    wrong = [layer for layer in layers if not -count <= layer < count]
    if wrong:
        raise ValueError(
            f"--layers has {wrong[0]}; {encoder_features.name} has hidden states 0 to {count - 1}, "
            "or -1 for the last."
        )


def main() -> None:
    """Load, encode, match, print."""
    (arguments,) = parse_arguments(RetrievalArguments)
    show_progress()
    with exit_on_user_error():
        if not arguments.corpus:
            raise ValueError("no corpus was given; pass --corpus with a folder of takes.")
        corpus = load_corpus(arguments.corpus)
        rows, words = choose(corpus, arguments)
        feature_sets = [
            load_features(path, name, bf16=False)
            for name in arguments.encoders
            for path in [name if needs_no_model(name) else resolve_encoder(name)]
        ]
        for encoder_features in feature_sets:
            check_layers(encoder_features, arguments.layers)
        waveforms = [read_audio(corpus[row]["audio"]) for row in rows]
    print(f"{len(rows)} takes of {len(set(words))} words\n")
    print("| encoder | layer | mean average precision | first match right | chance |")
    print("|---|---|---|---|---|")
    for encoder_features in feature_sets:
        states = [
            encoder_features(waveform) for waveform in waveforms
        ]  # (layers, frames, dim) each
        for layer in arguments.layers:
            scores = retrieve([state[layer].numpy() for state in states], words)
            print(
                f"| {encoder_features.name} | {layer} | {scores.mean_average_precision:.3f} | "
                f"{scores.precision_at_1:.3f} | {scores.chance:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
