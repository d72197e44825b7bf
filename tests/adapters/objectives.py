"""Every objective of the package as a short run on a tiny encoder."""

import numpy as np

from hf_rspin.audio import num_frames
from hf_rspin.data import TwoViewDataset, load_corpus
from hf_rspin.models import SCORE_SETTINGS, LaserModel, RSpinModel
from hf_rspin.training import (
    LaserTrainer,
    LaserTrainingArguments,
    TwoViewTrainer,
    TwoViewTrainingArguments,
)
from hf_rspin.units import FrameLabels
from hf_rspin.views import LaserViews, NoiseBank, RSpinViews, SpinViews

OBJECTIVES = ("spin", "rspin", "laser", "score")
ARGUMENTS = {
    "max_steps": 2, "batch_seconds": 4, "logging_steps": 1, "save_steps": 1, "use_cpu": True,
    "disable_tqdm": True, "learning_rate": 1e-2, "warmup_steps": 1, "seed": 3,
    "save_total_limit": None,
}  # fmt: skip


def load(objective, family, folder):
    """Return the encoder in `folder` with fresh heads of the objective."""
    if objective in ("spin", "rspin"):
        labels = 7 if objective == "rspin" else None
        return RSpinModel.from_pretrained(
            folder, codebook_size=6, projection_size=8, num_pseudo_labels=labels
        )
    settings = SCORE_SETTINGS[family] if objective == "score" else {}
    return LaserModel.from_pretrained(folder, projection_size=8, **settings)


def trainer_of(objective, model, audio, output, **options):
    """Return the trainer of two updates."""
    corpus = load_corpus(audio)
    lengths = {"min_seconds": 0.3, "max_seconds": 1.0}
    if objective in ("laser", "score"):
        dataset = TwoViewDataset(corpus, LaserViews((0.9, 1.1), semitones=0.0), **lengths)
        args = LaserTrainingArguments(
            output_dir=str(output), gradient_accumulation_steps=2, **{**ARGUMENTS, **options}
        )
        return LaserTrainer(model, args, dataset)
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    bank = NoiseBank([noise])
    views = RSpinViews(bank, perturb_speaker=False) if objective == "rspin" else SpinViews()
    labels = frame_labels(corpus) if objective == "rspin" else None
    dataset = TwoViewDataset(corpus, views, labels, **lengths)
    args = TwoViewTrainingArguments(output_dir=str(output), **{**ARGUMENTS, **options})
    return TwoViewTrainer(model, args, dataset)


def frame_labels(corpus):
    """Return random pseudo-labels of every utterance."""
    generator = np.random.default_rng(0)
    frames = {
        key: num_frames(round(seconds * 16_000))
        for key, seconds in zip(corpus["id"], corpus["duration"], strict=True)
    }
    pairs = {key: generator.integers(0, 7, count) for key, count in frames.items()}
    return FrameLabels.from_sequences(pairs, 7)
