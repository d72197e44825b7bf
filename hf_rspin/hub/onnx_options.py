"""Options of the command `export`, and what it can check without torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hf_rspin.utils import option

NEEDED = ("onnx", "onnxruntime", "onnxscript")
KINDS = ("auto", "spin", "auxiliary", "layer")


@dataclass
class OnnxOptions:
    """What is exported, and where to."""

    encoder: str = option("", "folder, Hub id or bundled; the first argument")
    output: str = option("", "file to write, such as model.onnx; the second argument")
    units: str = option(
        "auto", "spin, auxiliary or layer; auto: those of codebook or k-means, else hidden states"
    )
    kmeans: str | None = option(
        None, "folder of a k-means, or a published file of one (.npy, .npz, .km / .bin of joblib)"
    )
    layer: int | None = option(None, "hidden state that the k-means clusters, if it does not say")
    normalize: bool | None = option(
        None, "waveforms of mean 0 and variance 1 (default: what the encoder's folder says)"
    )

    def __post_init__(self) -> None:
        if not self.encoder or not self.output:
            raise ValueError(
                "two arguments are needed, the encoder (folder, Hub id or bundled) and the file "
                "to write: hf-rspin export ENCODER OUTPUT.onnx."
            )
        if self.units not in KINDS:
            raise ValueError(f"units is {self.units!r}; expected one of {', '.join(KINDS)}.")
        check_output(self.output)


def check_output(output: str | Path) -> None:
    """Refuse a file that is there already, or that cannot be one of ONNX.

    Raises:
        ValueError: see above.
    """
    file = Path(output)
    if file.suffix != ".onnx":
        raise ValueError(f"got the output {output}; expected the name of a file ending in .onnx.")
    if file.exists():
        raise ValueError(f"{output} exists: name another file, or remove it first.")
    there = next(one for one in file.absolute().parents if one.exists())
    if not there.is_dir():
        raise ValueError(f"{output} cannot be written: {there} is a file, not a folder.")


def check_onnx() -> None:
    """Say how to install what the export needs.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the export needs {' and '.join(missing)}, not installed here: "
            "pip install 'hf-rspin[onnx]'."
        )
