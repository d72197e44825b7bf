"""What `hf-rspin evaluate` asks for: encoders, corpus, probes, conditions, seeds, shards."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hf_rspin.evaluation.names import CONDITION_NAMES, PROBE_NAMES, SEVERITIES_IN_WORDS
from hf_rspin.utils import option

USUAL_PROBES = ["pr", "linear_phones", "cka", "sid", "units", "geometry", "cost"]


def default_workers() -> int:
    """Return the processors that this process may use, eight at most: each holds an utterance."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


@dataclass
class EvaluationScriptArguments:
    """What to compare, on what."""

    encoders: list[str] = option([], "folders, Hub ids (Whisper too), log-mel, log-mel:3 or mfcc")
    names: list[str] = option([], "how tables call them; default: folders")
    corpus: str | None = option(None, "folder of audio, with metadata.csv for what needs labels")
    test_split: str | None = option(
        None, "split to measure on; default test, or all of a corpus without splits"
    )
    train_split: str | None = option(None, "split to learn on; default train, where there is one")
    dev: bool = option(
        False, "measure a tenth of the training speakers, learn from the others: to tune by"
    )
    segment_seconds: float = option(
        17.0, "recordings above a minute are cut at pauses into parts of up to this; 0: none",
        rare=True,
    )
    train_utterances: int | None = option(None, "subset; default all")
    test_utterances: int | None = option(None, "subset; default all")
    lexicon: str | None = option(
        None, "file of words and phones, such as CMUdict: phones are those of the column text",
        rare=True,
    )  # fmt: skip
    strip_stress: bool = option(True, "39 phones instead of 69", rare=True)
    least_alignment_score: float | None = option(None, "alignments of lower `score` are left out")
    probes: list[str] = option(USUAL_PROBES, f"what to measure; some of {', '.join(PROBE_NAMES)}")
    conditions: list[str] = option(
        [],
        f"of the test audio; some of {', '.join(CONDITION_NAMES)}; default: clean, gaussian, "
        "reverb, and noise where it is given; one that the corpus has too little for is left out",
    )
    snr: list[float] = option([0.0], "SNRs of all conditions with noise, dB")
    severities: list[int] = option([2], f"some of 1 2 3 4, mild to severe; {SEVERITIES_IN_WORDS}")
    noise: str | None = option(None, "folder of noise recordings, or synthetic")
    seen_split: str = option("test", "split of noise of seen kinds; none: all rows", rare=True)
    unseen_split: str = option(
        "test_unseen", "split of noise of unseen kinds; none: all rows", rare=True
    )
    rooms: str | None = option(None, "folder of room responses")
    simulated_rooms: int = option(5, "room responses to simulate", rare=True)
    seeds: int = option(1, "of what learns, from --seed on; tables have their mean and spread")
    recipe: str | None = option(
        None,
        "superb or rspin: pr, asr and sid are trained as in that paper, for a GPU; options that "
        "are not at their defaults count all the same, such as --learning_rates for a search",
    )
    cka_utterances: int = option(600, "test utterances for CKA", rare=True)
    num_units: int = option(64, "k-means clusters of each layer")
    standardize_units: bool = option(
        False, "mean 0 and variance 1 in every dimension of a layer before k-means (Whisper)",
        rare=True,
    )
    asr_hidden_size: int = option(
        256, "of the LSTMs of the probe of words; SUPERB: 1024", rare=True
    )
    asr_normalization: str = option(
        "whisper", "form in which texts are compared: whisper (of English), or none", rare=True
    )
    abx_context: str = option(
        "any", "neighbours of the phones that ABX compares: any, or within: the same", rare=True
    )
    min_letters: int = option(
        5, "of words sought by qbe and retrieval; fewer where a script writes more with each",
        rare=True,
    )
    speakers_from: str = option(
        "test", "train: the test speakers are those of the train split", rare=True
    )
    reference: str | None = option(None, "the encoder to compare with; default: every pair")
    shard: int | None = option(
        None, "which part of the work this process does, from 0; default: its SLURM array task"
    )
    num_shards: int | None = option(
        None, "processes (on machines that share the folder) that divide it; default: 1"
    )
    keep_features: bool = option(
        False, "leave the features of every condition on disk, for more probes later", rare=True
    )
    feature_dtype: str = option(
        "float16", "of features on disk: float16, or float32 for encoders of huge values", rare=True
    )
    output_dir: str = option("runs/evaluation", "for results and report")
    num_workers: int = option(default_workers(), "threads")
    bf16: bool | None = option(
        None, "autocast the encoders to bfloat16; default: as before in this folder, or if faster"
    )
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")
