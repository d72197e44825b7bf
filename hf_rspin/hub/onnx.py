"""An encoder with its head as one ONNX file: waveforms of any length and number in, units out."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.audio import SAMPLING_RATE, normalize_waveforms
from hf_rspin.hub.onnx_options import check_onnx
from hf_rspin.models.encoder import check_frame_rate, states_of_frames
from hf_rspin.models.folders import fetch, read_config, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.tokenizer import UnitTokenizer
from hf_rspin.utils import atomic

logger = logging.getLogger(__name__)

EXAMPLE = (2, SAMPLING_RATE)  # waveforms that the graph is traced with
CHECKED = ((1, 800), (3, 7_891), (1, 40_000))  # other lengths and numbers, tried at the end
TOLERANCE = 1e-4
LARGEST_FILE = 2**31 - 2**20  # bytes: protobuf's limit, less what is not weights


def export_onnx(
    folder: str | Path,
    file: str | Path,
    units: str = "auto",
    kmeans: KMeans | str | Path | None = None,
    layer: int | None = None,
    normalize: bool | None = None,
) -> Path:
    """Write a model as ONNX, and check it with onnxruntime on other lengths than it was made with.

    The input `input_values` is (batch, samples) float32 at 16 kHz, as recorded: where the model
    reads waveforms of mean 0 and variance 1, the graph makes them so. All rows of a batch have one
    length. The outputs, at 50 frames per second, are `scores` (batch, frames, units) and `units`
    (batch, frames), int64; of an encoder without codebook or k-means `last_hidden_state` (batch,
    frames, dim). Recordings are encoded whole: cut what is above 30 s.

    Args:
        folder: Spin or R-Spin model, saved `UnitTokenizer`, or encoder; folder, Hub id or
            "bundled".
        file: to be written, such as model.onnx; whole or not at all.
        units: see `UnitTokenizer`; "auto": of an encoder without codebook and k-means, its states.
        kmeans: k-means, its folder or file, for units of a layer.
        layer: that it clusters, if it does not say.
        normalize: None for what the folder says.

    Returns:
        The file.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        ValueError: the folder lacks something, MFCC units, weights above 2 GB, a model that cannot
            be traced, or the file gives other numbers than the model, by more than 1e-4.

    Example:
            export_onnx("runs/rspin", "rspin.onnx")
            session = onnxruntime.InferenceSession("rspin.onnx")
            units = session.run(["units"], {"input_values": waveforms})[0]
    """
    check_onnx()
    graph, about = build_graph(folder, units, kmeans, layer, normalize)
    difference = write_onnx(graph, about, file)
    size = os.path.getsize(file) / 1e6
    logger.info("%s: %.0f MB, equal to the model to %.1g.", file, size, difference)
    return Path(file)


def write_onnx(graph: nn.Module, about: dict[str, str], file: str | Path) -> float:
    """Trace a graph, check it under onnxruntime, and write it, whole or not at all.

    Args:
        graph: of `build_graph`.
        about: what is noted in the file.
        file: to be written; its folder is made.

    Returns:
        The largest difference from the model that was found, see `largest_difference`.

    Raises:
        ValueError: it is above 1e-4, the model cannot be traced, or the weights are more than a
            file of ONNX can hold.
    """
    file = Path(file)
    check_size(graph)
    file.parent.mkdir(parents=True, exist_ok=True)
    waveforms = 0.1 * torch.randn(*EXAMPLE, generator=torch.Generator().manual_seed(0))
    with atomic(file) as temporary, torch.no_grad():
        graph(waveforms)  # transformers installs its hooks at the first call, which no trace can
        program = _traced(graph, waveforms)
        program.model.metadata_props.update(about)
        program.save(str(temporary), external_data=False)
        difference = largest_difference(temporary, graph)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the ONNX graph differs from the model by {difference:.2g}, expected at most "
                f"{TOLERANCE:g}: it is not written."
            )
    return difference


def _traced(graph: nn.Module, waveforms: Tensor) -> torch.onnx.ONNXProgram:
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet():
            traced = torch.export.export(
                graph, (waveforms,), dynamic_shapes=(dynamic,), strict=True
            )
            return torch.onnx.export(
                traced, dynamo=True, verbose=False, external_data=False,
                input_names=["input_values"], output_names=graph.names,
            )  # fmt: skip
    except Exception as error:  # whatever the exporters of this version of PyTorch raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"this version of PyTorch cannot export {type(graph.model).__name__}: {reason}"
        ) from error


def check_size(graph: nn.Module) -> None:
    """Refuse weights that one ONNX file cannot hold.

    Raises:
        ValueError: they take more than 2 GiB.
    """
    size = sum(one.numel() * one.element_size() for one in graph.state_dict().values())
    if size > LARGEST_FILE:
        raise ValueError(
            f"the weights take {size / 1e9:.1f} GB, and an ONNX file holds at most "
            f"{LARGEST_FILE / 1e9:.1f} GB: choose a smaller encoder."
        )


class _Graph(nn.Module):
    """(batch, samples) at 16 kHz -> scores and units, or the last hidden state.

    Args:
        model: of the tokenizer, or an encoder.
        normalize: give each row mean 0 and variance 1.
        tokenizer: None for the hidden state.
    """

    def __init__(
        self, model: PreTrainedModel, normalize: bool, tokenizer: UnitTokenizer | None
    ) -> None:
        super().__init__()
        self.model, self.normalize = model, normalize
        self.units = None if tokenizer is None else tokenizer.units
        self.names = ["last_hidden_state"] if tokenizer is None else ["scores", "units"]
        if self.units == "layer":
            self.layer = tokenizer.layer
            kmeans = tokenizer.kmeans
            mean, deviation = (0.0, 1.0) if kmeans.scale is None else kmeans.scale
            self.register_buffer("mean", torch.as_tensor(mean).float())
            self.register_buffer("deviation", torch.as_tensor(deviation).float())
            self.register_buffer("centres", torch.from_numpy(kmeans.cluster_centers))

    def forward(self, input_values: Tensor) -> tuple[Tensor, ...]:
        """Return what `names` says."""
        if self.normalize:
            input_values = normalize_waveforms(input_values)
        if self.units is None:
            return (self.model(input_values).last_hidden_state,)
        scores = self._scores(input_values)
        return scores, scores.argmax(-1)

    def _scores(self, values: Tensor) -> Tensor:
        """Return (batch, frames, units), the highest of which is the unit."""
        if self.units == "spin":
            return self.model(input_values=values).code_logits
        if self.units == "auxiliary":
            output = self.model(input_values=values, output_hidden_states=True)
            states = states_of_frames(output, self.model.config)
            return self.model.auxiliary_head(states[self.model.config.auxiliary_layer])
        output = self.model(values, output_hidden_states=True)
        states = (output.hidden_states[self.layer] - self.mean) / self.deviation
        # argmin |x - c|^2 = argmax x.c - |c|^2 / 2
        return states @ self.centres.T - 0.5 * self.centres.square().sum(1)


def largest_difference(file: str | Path, graph: nn.Module) -> float:
    """Return how much a file and its model differ at most on noise, relative to the model's scale.

    Args:
        file: ONNX.
        graph: gives the outputs, floats first.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    generator, largest = torch.Generator().manual_seed(1), 0.0
    for shape in CHECKED:
        waveforms = 0.1 * torch.randn(*shape, generator=generator)
        with torch.no_grad():
            expected = graph(waveforms)[0].numpy()
        found = session.run(None, {"input_values": waveforms.numpy()})[0]
        if found.shape != expected.shape:
            return float("inf")
        scale = max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(found - expected).max()) / scale
        largest = max(largest, difference if np.isfinite(difference) else float("inf"))
    return largest


def build_graph(
    folder: str | Path,
    units: str,
    kmeans: KMeans | str | Path | None,
    layer: int | None,
    normalize: bool | None,
) -> tuple[_Graph, dict[str, str]]:
    """Return the graph of a folder, and what is noted in the file."""
    place = fetch(folder)
    content = read_config(place)
    if units == "auto" and kmeans is None and not _has_units(place, content):
        encoder = load_encoder(place)
        check_frame_rate(encoder.config)
        normalize = wants_normalized(place, encoder.config) if normalize is None else normalize
        graph = _Graph(encoder, normalize, None)
        about = {"outputs": "last_hidden_state"}
    else:
        tokenizer = UnitTokenizer.from_pretrained(
            place, pieces=None, units=units, kmeans=kmeans, layer=layer, normalize=normalize
        )
        if tokenizer.model is None:
            raise ValueError("units of MFCC need no encoder, and have no ONNX graph here.")
        graph = _Graph(tokenizer.model, tokenizer.normalize, tokenizer)
        about = {"outputs": tokenizer.units, "num_units": str(tokenizer.vocab_size)}
    about |= {"sampling_rate": str(SAMPLING_RATE), "frames_per_second": "50"}
    return graph.eval(), about


def _has_units(folder: Path, config: dict[str, Any]) -> bool:
    return "codebook_size" in config or KMeans.is_saved(folder / "kmeans")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on code that is not the user's to itself."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
