"""Pre-train a small HuBERT from scratch: one iteration per call.

    cd training_scripts
    python pretrain_hubert.py configs/pretrain_hubert_small_1.yaml --corpora speech more_speech

The first iteration clusters MFCC; a later one clusters a layer of `--teacher`, the encoder that
the iteration before it saved. Killed at any moment, the same command goes on where it stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import (
    HubertConfig,
    HubertModel,
    TrainingArguments,
    Wav2Vec2FeatureExtractor,
    set_seed,
)

from hf_rspin.audio import AudioError, read_audio
from hf_rspin.data.corpus import load_corpus
from hf_rspin.training.checkpoints import last_complete_checkpoint
from hf_rspin.training.encoders import resolve_encoder
from hf_rspin.training.filterbank import start_as_filterbank
from hf_rspin.training.finishing import leave_process_group, save_history
from hf_rspin.training.made_from import check_made_from
from hf_rspin.training.mistakes import mistakes_explained
from hf_rspin.training.parsing import parse_arguments
from hf_rspin.training.pretraining import (
    HubertForMaskedPrediction,
    PretrainingBatches,
    PretrainingTrainer,
    first_item,
)
from hf_rspin.units.extractors import fingerprint
from hf_rspin.units.features import layer_features, mfcc_features
from hf_rspin.units.kmeans import KMeans


@dataclass
class PretrainingScriptArguments:
    """What to pre-train, on what."""

    corpora: list[str] = field(default_factory=list, metadata={"help": "folders of audio"})
    exclude_splits: list[str] = field(
        default_factory=lambda: ["test", "test_unseen"],
        metadata={"help": "rows of metadata.csv with these values of `split` are left out"},
    )
    teacher: str | None = field(default=None, metadata={"help": "encoder folder; none: MFCC"})
    teacher_layer: int = field(default=4, metadata={"help": "hidden_states index to cluster"})
    num_clusters: int = field(default=100, metadata={"help": "number of k-means clusters"})
    initial_model: str | None = field(
        default=None, metadata={"help": "encoder or checkpoint to start from; none: from scratch"}
    )
    encoder: dict | str | None = field(
        default=None, metadata={"help": "HubertConfig fields, as a mapping or JSON"}
    )
    filterbank: bool = field(
        default=False, metadata={"help": "start the first two convolutions as a mel filter bank"}
    )
    unmasked_weight: float = field(
        default=0.0, metadata={"help": "weight of the loss at frames that are not masked"}
    )
    mask_span: int = field(default=10, metadata={"help": "frames that one mask covers"})
    mask_start: float = field(default=0.08, metadata={"help": "share of frames that open a mask"})
    crop_seconds: float = field(default=3.0, metadata={"help": "longest crop"})
    batch_seconds: float = field(default=72.0, metadata={"help": "audio per update"})
    min_seconds: float = field(default=1.0, metadata={"help": "shorter utterances are skipped"})

    def __post_init__(self) -> None:
        if isinstance(self.encoder, str):
            try:
                self.encoder = json.loads(self.encoder)
            except json.JSONDecodeError as error:
                raise ValueError(f"--encoder is no JSON ({error}); expected a mapping.") from error


def read_corpora(arguments: PretrainingScriptArguments) -> list[np.ndarray]:
    """Read every utterance into memory as int16; skip and name what cannot be read."""
    waveforms, seconds = [], 0.0
    for source in arguments.corpora:
        corpus = load_corpus(source)
        splits = corpus["split"] if "split" in corpus.column_names else [None] * len(corpus)
        progress = tqdm(zip(corpus["audio"], splits, strict=True), total=len(corpus), desc=source)
        for cell, split in progress:
            if split in arguments.exclude_splits:
                continue
            try:
                waveform = read_audio(cell)
            except AudioError as error:
                print(f"skipped: {error}")
                continue
            if len(waveform) >= arguments.min_seconds * 16000 and np.abs(waveform).max() > 0:
                waveforms.append(np.int16(np.clip(waveform, -1, 1) * 32767))
                seconds += len(waveform) / 16000
    if not waveforms:
        raise ValueError(f"the corpora hold no utterance of {arguments.min_seconds:g} s or more.")
    print(f"{len(waveforms)} utterances, {seconds / 3600:.2f} hours")
    return waveforms


def make_labels(
    arguments: PretrainingScriptArguments, waveforms: list[np.ndarray], folder: Path, seed: int
) -> list[np.ndarray]:
    """Cluster the frames of the corpus; keep the result in `folder`.

    Raises:
        ValueError: the folder holds labels that were made from something else.
    """
    if arguments.teacher is None:
        extract, source, weights = mfcc_features(), "mfcc", None
    else:
        teacher = HubertModel.from_pretrained(
            arguments.teacher, num_hidden_layers=arguments.teacher_layer, dtype=torch.float32
        )
        extract = layer_features(teacher, arguments.teacher_layer)
        source = f"layer {arguments.teacher_layer} of the iteration before"
        weights = fingerprint(*(value for _, value in sorted(teacher.state_dict().items())))
    made_from = {
        "source": source, "teacher_weights": weights, "num_clusters": arguments.num_clusters,
        "seed": seed, "utterances": len(waveforms), "samples": sum(map(len, waveforms)),
    }  # fmt: skip
    check_made_from(folder, made_from, ("labels.npz",))
    done = folder / "labels.npz"
    if done.is_file():
        flat = np.load(done)
        return np.split(flat["labels"].astype(np.int64), np.cumsum(flat["lengths"])[:-1])
    features = [
        extract(waveform.astype(np.float32) / 32768).astype(np.float16)
        for waveform in tqdm(waveforms, desc="features")
    ]
    flat = np.concatenate(features)
    kmeans = KMeans(arguments.num_clusters, seed, source)
    generator = np.random.default_rng(seed)
    for _ in tqdm(range(3), desc="k-means passes"):
        kmeans.forget()
        order = generator.permutation(len(flat))
        kmeans.fit_stream(flat[order[i : i + 20000]] for i in range(0, len(order), 20000))
    kmeans.save_pretrained(folder / "kmeans")
    labels = [kmeans.predict(f.astype(np.float32)) for f in features]
    usage = np.bincount(np.concatenate(labels), minlength=arguments.num_clusters) / len(flat)
    perplexity = np.exp(-(usage[usage > 0] * np.log(usage[usage > 0])).sum())
    print(f"{len(flat)} frames in {arguments.num_clusters} clusters, perplexity {perplexity:.1f}")
    temporary = folder / "labels.tmp.npz"
    np.savez(
        temporary,
        labels=np.concatenate(labels).astype(np.uint16),
        lengths=np.array([len(label) for label in labels]),
    )
    temporary.rename(done)
    return labels


def check_settings(arguments: PretrainingScriptArguments, training: TrainingArguments) -> None:
    """Find the encoders; refuse what would fail after the corpus has been read and clustered.

    Raises:
        ValueError: no corpus, no number of updates, or a teacher that does not exist.
    """
    if not arguments.corpora:
        raise ValueError("no corpus was given; pass --corpora with one or more folders of audio.")
    if training.max_steps < 1:
        raise ValueError(f"--max_steps is {training.max_steps}; expected the number of updates.")
    for option in ("teacher", "initial_model"):
        if getattr(arguments, option) is not None:
            setattr(arguments, option, resolve_encoder(getattr(arguments, option)))


def build_model(arguments: PretrainingScriptArguments) -> HubertForMaskedPrediction:
    """Build the encoder from the config, or load what to start from."""
    extra = {
        "num_clusters": arguments.num_clusters,
        "final_dim": 256,
        "unmasked_weight": arguments.unmasked_weight,
        "apply_spec_augment": True,
        # Crops are short: plain attention trains a fifth faster on a CPU than the fused kernel.
        "attn_implementation": "sdpa" if torch.cuda.is_available() else "eager",
    }
    if arguments.initial_model is None:
        model = HubertForMaskedPrediction(HubertConfig(**(arguments.encoder or {}), **extra))
        if arguments.filterbank:
            start_as_filterbank(model.hubert)
        return model
    config = HubertConfig.from_pretrained(
        arguments.initial_model, attn_implementation=extra.pop("attn_implementation")
    )
    config.update(extra)  # from_pretrained drops fields that the folder does not have
    return HubertForMaskedPrediction.from_pretrained(
        arguments.initial_model, config=config, dtype=torch.float32
    )


def main() -> None:
    """Cluster, train and save one iteration."""
    arguments, training = parse_arguments(PretrainingScriptArguments, TrainingArguments)
    set_seed(training.seed)
    with mistakes_explained():
        check_settings(arguments, training)
        waveforms = read_corpora(arguments)
    folder = Path(training.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with mistakes_explained(), training.main_process_first(desc="labels"):
        labels = make_labels(arguments, waveforms, folder, training.seed)
    model = build_model(arguments)
    print(f"{model.hubert.num_parameters() / 1e6:.2f}M parameters in the encoder")
    batches = PretrainingBatches(
        waveforms,
        labels,
        training.max_steps * training.gradient_accumulation_steps * training.world_size,
        arguments.batch_seconds,
        arguments.crop_seconds,
        training.seed,
        arguments.mask_span,
        arguments.mask_start,
    )
    trainer = PretrainingTrainer(
        model=model, args=training, train_dataset=batches, data_collator=first_item
    )
    checkpoint = last_complete_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.is_world_process_zero():
        save_encoder(model.hubert, folder / "encoder")
        save_history(trainer.state.log_history, folder)
    leave_process_group()


def save_encoder(encoder: HubertModel, folder: Path) -> None:
    """Save the plain encoder as bfloat16, with a clean config and its feature extractor.

    The config says float32, which `from_pretrained` then loads: half the size on disk, and no
    bfloat16 surprises on processors without it.
    """
    for name in ("num_clusters", "final_dim", "unmasked_weight"):
        delattr(encoder.config, name)
    encoder.config.apply_spec_augment = False
    encoder.to(torch.bfloat16).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    print(f"encoder saved in {folder}")


if __name__ == "__main__":
    main()
