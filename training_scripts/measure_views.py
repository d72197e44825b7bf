"""Measure the views on speech: is the new voice the one that was asked for, and what does it cost?

    python training_scripts/measure_views.py --corpus speech_folder --num_utterances 300

For each utterance a change of voice is drawn as training draws it. F0 (plain autocorrelation) and
formants (linear prediction on loud voiced frames) are measured before and after, with the original
F0 range only to bound the search. Prints how far the ratios are from the request, CPU time per
second of audio in one process, lengths, and samples that are no number. Then, for every other
transform that has a name, its cost and how far it moves sound in time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from benchmarks.speed import synthetic_speech

from hf_rspin.audio import SAMPLING_RATE, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.evaluation.table import markdown_table
from hf_rspin.evaluation.voices import envelope_ratio, median_f0, vowel_envelope
from hf_rspin.seeding import example_generator
from hf_rspin.training.cli import exit_on_user_error, parse_arguments
from hf_rspin.utils import option
from hf_rspin.views import (
    TRANSFORMS,
    NoiseBank,
    RSpinViews,
    SpeakerParameters,
    SpinViews,
    UtteranceInfo,
    draw_speaker,
    estimate_f0,
    estimate_f0_range,
    measure_delays,
    perturb_speaker,
)

LOWEST_F0 = 30.0  # Hz; a search below it would need frames longer than a syllable


@dataclass
class ViewMeasurementArguments:
    """What to measure."""

    corpus: str = option("", "folder of speech, table, or Hub dataset")
    corpus_split: str | None = option(None, "none: all rows")
    num_utterances: int = option(300, "drawn at random")
    seed: int = option(0, "of utterances, voices and views")

    def __post_init__(self) -> None:
        if not self.corpus:
            raise ValueError("no corpus was given; pass --corpus with a folder of speech.")
        if self.num_utterances < 1:
            raise ValueError(f"--num_utterances is {self.num_utterances}; expected 1 or more.")


def read_utterances(arguments: ViewMeasurementArguments) -> list[np.ndarray]:
    """Return waveforms (samples,) of at least one second, drawn at random."""
    split = None if arguments.corpus_split == "none" else arguments.corpus_split
    corpus = load_corpus(arguments.corpus, split, min_seconds=1.0)
    order = np.random.default_rng(arguments.seed).permutation(len(corpus))
    return [read_audio(corpus[int(i)]["audio"]) for i in order[: arguments.num_utterances]]


def measure_voice(waveform: np.ndarray, voice: SpeakerParameters) -> tuple[float, float] | None:
    """Return F0 ratio and formant ratio over those asked for, NaN where not measurable.

    None where the change was skipped (silent, unvoiced or too short).
    """
    result = perturb_speaker(waveform, SAMPLING_RATE, voice)
    if not result.changed:
        return None
    floor, ceiling = estimate_f0_range(waveform, SAMPLING_RATE)
    before = median_f0(waveform, SAMPLING_RATE, floor, ceiling)
    new_floor = max(LOWEST_F0, 0.8 * floor * voice.pitch_ratio)
    after = median_f0(result.waveform, SAMPLING_RATE, new_floor, 1.25 * ceiling * voice.pitch_ratio)
    track = estimate_f0(waveform, SAMPLING_RATE, floor, ceiling)
    times = track.times[track.frequencies > 0]
    envelopes = [vowel_envelope(w, SAMPLING_RATE, times) for w in (waveform, result.waveform)]
    formants = float("nan")
    if envelopes[0] is not None and envelopes[1] is not None:
        formants = envelope_ratio(*envelopes) / voice.formant_ratio
    return after / before / voice.pitch_ratio, formants


def measure_cost(waveforms: list[np.ndarray], views: SpinViews, seed: int) -> list[str]:
    """Return CPU ms per second of audio, both views of a right length, samples that are NaN."""
    warm_up = synthetic_speech(3.0, np.random.default_rng(0))
    views(warm_up, (np.random.default_rng(0), np.random.default_rng(1)))  # compiles
    costs, right, bad = [], 0, 0
    for index, waveform in enumerate(waveforms):
        generators = tuple(example_generator(seed, 0, index, view) for view in (0, 1))
        start = time.process_time()
        pair = views(waveform, generators)
        costs.append(1000 * (time.process_time() - start) / (len(waveform) / SAMPLING_RATE))
        right += all(len(view) == len(waveform) for view in pair)
        bad += sum(int((~np.isfinite(view)).sum()) for view in pair)
    return [
        f"{np.median(costs):.2f} ({np.percentile(costs, 90):.2f})",
        f"{right} of {len(waveforms)}",
        str(bad),
    ]


def measure_transform(name: str, waveforms: list[np.ndarray], seed: int) -> list[str]:
    """Return CPU ms per second of audio, outputs of a right length, and the largest delay in ms."""
    transform = TRANSFORMS[name](SAMPLING_RATE)
    costs, right, delays = [], 0, [0.0]
    for index, waveform in enumerate(waveforms):
        drawn = transform.draw(example_generator(seed, 0, index, 1), UtteranceInfo(len(waveform)))
        start = time.process_time()
        output = transform.apply(waveform, drawn)
        costs.append(1000 * (time.process_time() - start) / (len(waveform) / SAMPLING_RATE))
        right += len(output) == len(waveform)
        found = np.abs(measure_delays(waveform, output, SAMPLING_RATE))
        delays.append(np.max(found, where=np.isfinite(found), initial=0.0))
    late = 1000 * max(delays) / SAMPLING_RATE
    cost = f"{np.median(costs):.2f} ({np.percentile(costs, 90):.2f})"
    return [name, cost, f"{right} of {len(waveforms)}", f"{late:.0f}"]


def ratio_row(name: str, ratios: np.ndarray, tolerance: float) -> list[str]:
    """Return a row about ratios (utterances,) over those asked for; unmeasurable ones count."""
    measured = ratios[np.isfinite(ratios)]
    if len(measured) == 0:
        return [name, "0", "", f"{tolerance:.0%}", "", ""]
    near = np.abs(measured - 1) <= tolerance
    return [
        name, str(len(measured)), f"{np.median(measured):.3f}", f"{tolerance:.0%}",
        f"{near.mean():.1%}", f"{near.sum() / len(ratios):.1%}",
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    (arguments,) = parse_arguments(ViewMeasurementArguments)
    with exit_on_user_error():
        waveforms = read_utterances(arguments)
    generator = np.random.default_rng(arguments.seed)
    found = [measure_voice(waveform, draw_speaker(generator)) for waveform in waveforms]
    changed = np.array([ratios for ratios in found if ratios is not None]).reshape(-1, 2)
    minutes = sum(map(len, waveforms)) / SAMPLING_RATE / 60
    print(f"{len(waveforms)} utterances, {minutes:.1f} min, {len(changed)} voices changed\n")
    headers = ["ratio over request", "measured", "median", "tolerance", "within", "of all changed"]
    rows = [ratio_row("median F0", changed[:, 0], 0.05), ratio_row("formants", changed[:, 1], 0.10)]
    print(markdown_table(headers, rows) + "\n")
    noise = np.random.default_rng(0).standard_normal(10 * SAMPLING_RATE, dtype=np.float32)
    kinds = {"Spin views": SpinViews(), "R-Spin views": RSpinViews(NoiseBank([noise]))}
    rows = [
        [name, *measure_cost(waveforms, views, arguments.seed)] for name, views in kinds.items()
    ]
    headers = ["views", "CPU ms per second of audio: median (90 %)", "exact lengths", "NaN or inf"]
    print(markdown_table(headers, rows) + "\n")
    names = [name for name in TRANSFORMS if name not in ("speaker_perturbation", "clip")]
    rows = [measure_transform(name, waveforms, arguments.seed) for name in names]
    headers = ["transform", "CPU ms per second of audio: median (90 %)", "exact lengths"]
    print(markdown_table([*headers, "largest delay of a quarter (ms)"], rows))


if __name__ == "__main__":
    main()
