"""Options of the commands `units` and `features`: without torch, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_rspin.utils import option

FORMATS = ("parquet", "npz", "dataset")
PRECISIONS = ("float16", "float32")


@dataclass
class ExtractionOptions:
    """What is read, and where the files go."""

    corpus: str = option("", "folder of audio, table or Hub dataset; the first argument")
    output_dir: str = option("", "where the files go")
    format: str = option("parquet", "parquet, npz, or dataset (read by datasets.load_from_disk)")
    corpus_split: str | None = option(None, "value of the column `split`; none: all rows")
    audio_column: str | None = option(None, "column of the audio or its paths, such as wav_path")
    min_seconds: float = option(0.025, "shorter recordings are left out")
    segment_seconds: float = option(
        600.0, "recordings longer than this (and a minute) are cut at pauses; 0: none is"
    )
    batch_seconds: float = option(60.0, "audio per batch")
    shard: int | None = option(
        None, "number of this process, from 0 (default: that of the SLURM array)"
    )
    num_shards: int | None = option(
        None, "processes that divide the work (default: those of the SLURM array, else 1)"
    )
    merge: bool = option(False, "only check that all shards are complete, and write the index")
    strict: bool = option(False, "stop at the first bad file")
    bf16: bool = option(False, "bfloat16 autocast in the encoder")
    device: str = option("auto", "cpu, cuda, or auto: cuda where there is one")

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format is {self.format!r}; expected {', '.join(FORMATS)}.")
        if not self.output_dir:
            raise ValueError("no output folder was given; pass --output_dir.")
        if not self.corpus and not self.merge:
            raise ValueError(
                "no corpus was given; expected a folder of audio, a table or a Hub dataset as the "
                "first argument."
            )
        for name in ("batch_seconds", "min_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0.")
        if self.segment_seconds != 0 and not self.segment_seconds >= 1:
            raise ValueError(
                f"segment_seconds is {self.segment_seconds}; expected at least 1, or 0 for whole "
                "recordings."
            )


@dataclass
class UnitsOptions(ExtractionOptions):
    """What is read, what the units are, and where the files go."""

    model: str | None = option(
        None, "Spin or R-Spin model, or encoder for --kmeans: folder, Hub id or bundled"
    )
    encoder: str | None = option(None, "another name of model")
    units: str = option("auto", "spin, auxiliary, layer or mfcc; auto: what model and kmeans say")
    kmeans: str | None = option(
        None, "folder of a k-means, or a published file of one (.npy, .npz, .km / .bin of joblib)"
    )
    layer: int | None = option(None, "hidden state that the k-means clusters, if it does not say")
    pieces: str = option("auto", "folder of acoustic pieces; auto: those of the model; none")
    normalize: bool | None = option(
        None, "waveforms of mean 0 and variance 1 (default: what the model's folder says)"
    )
    file_hours: float = option(1.0, "audio per file; what a kill can cost")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model = one_name(self.model, self.encoder)
        if self.model is None and self.units != "mfcc" and not self.merge:
            raise ValueError("no model was given; pass --model, a folder, Hub id or bundled.")
        if self.units == "mfcc" and self.model is None and not (self.kmeans or self.merge):
            raise ValueError("no k-means was given; --units mfcc needs --kmeans, a folder or file.")
        if not self.file_hours > 0:
            raise ValueError(f"file_hours is {self.file_hours}; expected a number above 0.")


@dataclass
class FeaturesOptions(ExtractionOptions):
    """What is read, which hidden states are wanted, and where the files go."""

    encoder: str | None = option(None, "encoder (Whisper's too): folder, Hub id or bundled")
    model: str | None = option(None, "another name of encoder")
    layers: list[int] = option([-1], "hidden states: 0 is the input of layer 1, -1 the last")
    precision: str = option("float16", "float16 or float32")
    normalize: bool | None = option(
        None, "waveforms of mean 0 and variance 1 (default: what the encoder's folder says)"
    )
    file_mb: float = option(256.0, "features per file in MB; twice as much is in memory")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encoder = one_name(self.encoder, self.model, "encoder", "model")
        if self.encoder is None and not self.merge:
            raise ValueError("no encoder was given; pass --encoder, a folder, Hub id or bundled.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; expected {', '.join(PRECISIONS)}.")
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers are {self.layers}; expected different ones, at least one.")
        if not self.file_mb > 0:
            raise ValueError(f"file_mb is {self.file_mb}; expected a number above 0.")


def one_name(
    first: str | None, second: str | None, name: str = "model", other: str = "encoder"
) -> str | None:
    """Return the value of an option that has two names.

    Raises:
        ValueError: both were given, and differ.
    """
    if first is not None and second is not None and first != second:
        raise ValueError(f"got --{name} and --{other}, two names of one option; give one of them.")
    return second if first is None else first
