"""Waveforms -> units or acoustic pieces with times, from a saved folder."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from hf_rspin.audio import (
    SAMPLING_RATE,
    AudioError,
    AudioSource,
    is_recording,
    num_frames,
    num_samples,
    read_audio,
)
from hf_rspin.device import check_device
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.models.folders import fetch, wants_normalized
from hf_rspin.models.modeling_spin import RSpinModel
from hf_rspin.units.acoustic_pieces import AcousticPieces
from hf_rspin.units.extract import units_of
from hf_rspin.units.extractors import (
    UnitExtractor,
    codebook_units,
    kmeans_units,
    predicted_pieces,
)
from hf_rspin.units.features import FrameFeatures, layer_features, mfcc_features
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.recordings import similar_batches
from hf_rspin.units.reference_sound import warn_of_other_features
from hf_rspin.units.stream import UnitStream
from hf_rspin.units.tokenizer_folder import (
    AUTO,
    KMEANS,
    PIECES,
    SETTINGS,
    check_units,
    choose_units,
    clustered_layer,
    find_kmeans,
    find_pieces,
    load_model,
    pieces_problem,
    read_settings,
)
from hf_rspin.units.unit_sequence import UnitSequence
from hf_rspin.whole_folders import whole_folder

logger = logging.getLogger(__name__)

MFCC_SIZE = 39


class UnitTokenizer:
    """Tells the units of speech, or the acoustic pieces they form, with start and end times.

        tokenizer = UnitTokenizer.from_pretrained("runs/spin", pieces="runs/labels")
        result = tokenizer("speech.wav")  # or an array, or a list of them
        result.ids, result.starts, result.ends  # segments; times in seconds
        result.frame_ids, result.units  # one id per 20 ms
        result.text()  # "17 4 17"

    Batches hold utterances of similar lengths where padding changes no frame, else of equal ones,
    so that each gets what it gets alone; the sound after the last whole frame is left out, as when
    pseudo-labels are made. Above 30 s the encoder runs in overlapping windows, with the
    normalisation of the whole. Silence has units like any other sound; audio shorter than one frame
    (25 ms) gives an empty sequence. The model works in eval mode and goes back to its own.

    Args:
        model: `RSpinModel` for "spin" and "auxiliary", any encoder for
            "layer", None for "mfcc"; on the device to use.
        units: "spin" (codes of the codebook), "auxiliary" (the pieces that the auxiliary head of
            an R-Spin model predicts), "layer" (k-means of a layer) or "mfcc" (k-means of MFCC).
        kmeans: centres for "layer" and "mfcc".
        layer: index into `hidden_states` for "layer".
        pieces: acoustic pieces learned on these very units; None gives the units themselves.
        normalize: the model reads waveforms of mean 0 and variance 1 (large models).
        bf16: run under bfloat16 autocast.

    Raises:
        ValueError: the parts do not fit each other.
    """

    def __init__(
        self,
        model: PreTrainedModel | None = None,
        units: str = "spin",
        kmeans: KMeans | None = None,
        layer: int | None = None,
        pieces: AcousticPieces | None = None,
        normalize: bool = False,
        bf16: bool = False,
    ) -> None:
        self.model, self.units, self.kmeans, self.layer = model, units, kmeans, layer
        self.normalize, self.bf16 = normalize, bf16
        self._check_parts()
        self.extractor = self._build_extractor(normalize)
        if units in ("layer", "mfcc"):
            warn_of_other_features(kmeans, self._features(normalize))
        self.use_pieces(pieces)

    @property
    def vocab_size(self) -> int:
        """Number of ids: 0 to vocab_size - 1, beside -100 for units that no piece holds."""
        return self.extractor.num_units if self.pieces is None else self.pieces.num_labels

    def __call__(
        self,
        audio: AudioSource | Iterable[AudioSource],
        sampling_rate: float | None = None,
        batch_seconds: float = 60.0,
        strict: bool = True,
    ) -> UnitSequence | None | list[UnitSequence | None]:
        """Return the units of one utterance, or a list of those of several.

        Args:
            audio: floats (samples,) as array, tensor or list, a path, encoded bytes, a binary file
                or an audio cell of `datasets`; or a list or generator of those, of any lengths.
            sampling_rate: of arrays, in Hz; resampled to 16 kHz. None: they have 16 kHz.
            batch_seconds: audio per batch; longer utterances are a batch of their own. Ten times
                as much is held in memory.
            strict: False gives None, and a warning, for what cannot be read.

        Raises:
            AudioError: a file cannot be read, or an array is no waveform, when strict.
        """
        if is_recording(audio):
            return self([audio], sampling_rate, batch_seconds, strict)[0]
        found: dict[int, UnitSequence | None] = {}
        for block in _read_blocks(audio, sampling_rate, 10 * batch_seconds, strict):
            found |= {index: None for index, waveform in block.items() if waveform is None}
            readable = {index: one for index, one in block.items() if one is not None}
            for batch in similar_batches(readable, batch_seconds, self.extractor.pads):
                units = units_of(self.extractor, list(batch.values()))
                for index, row in zip(batch, units, strict=True):
                    found[index] = UnitSequence.from_frames(row, self.pieces)
        return [found[index] for index in range(len(found))]

    def stream(
        self,
        latency: float | None = None,
        context: float = 4.0,
        approximate: bool = False,
        sampling_rate: float = SAMPLING_RATE,
    ) -> UnitStream:
        """Return a stream: chunks of sound in, units out; see `UnitStream`.

            stream = tokenizer.stream()
            for chunk in chunks:
                print(stream.push(chunk).segments.text())
            print(stream.finish().segments.text())

        Args:
            latency: seconds from a sound to its unit at most; None: 30 s, as the whole is encoded.
            context: seconds before, that each window of a stream with a latency hears again.
            approximate: allow units that are not exactly those of the whole recording.
            sampling_rate: of the chunks in Hz.

        Raises:
            ValueError: the units cannot be those of the whole, and `approximate` is False.
        """
        return UnitStream(self, latency, context, approximate, sampling_rate)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        pieces: AcousticPieces | str | Path | None = AUTO,
        units: str = AUTO,
        kmeans: KMeans | str | Path | None = None,
        layer: int | None = None,
        normalize: bool | None = None,
        bf16: bool = False,
        device: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> UnitTokenizer:
        """Load a tokenizer from a folder or Hub id.

        Args:
            name: what `save_pretrained` wrote; or a Spin or R-Spin model; or an encoder with a
                k-means, given or in `kmeans/`; or a folder of `hf-rspin labels` --units mfcc.
            pieces: acoustic pieces or their folder; None for units; "auto" for those in
                `acoustic_pieces/` of the folder, where they were learned on these units. (Those of
                an R-Spin model are what its auxiliary head predicts: units="auxiliary".)
            units: see the class; "auto" for what was saved, else the k-means that is given, else
                the codebook, else the k-means in the folder.
            kmeans: k-means, its folder, or a published file (see `KMeans.from_file`); None for the
                one in the folder.
            layer: that the k-means clusters; None for the one that it names.
            normalize: whether the model reads waveforms of mean 0 and variance 1; None for what
                the folder says, see `wants_normalized`.
            bf16: run under bfloat16 autocast.
            device: "cpu" or "cuda"; None for the CPU.
            revision: of a Hub repository.
            token: for private Hub repositories.

        Raises:
            ValueError: the folder lacks something, or the parts do not fit each other.
        """
        device = check_device(device or "cpu")
        folder = fetch(name, revision, token)
        saved, centres = read_settings(folder), find_kmeans(folder, kmeans)
        own = saved if kmeans is None and units in (AUTO, saved.get("units")) else {}
        if units == AUTO:
            units = own.get("units") or choose_units(folder, centres, kmeans is not None)
        if layer is None and units == "layer" and centres is not None:
            layer = own.get("layer", clustered_layer(centres))
        model = load_model(folder, units)
        if model is not None:
            model.to(device)
            normalize = saved.get("normalize") if normalize is None else normalize
            normalize = wants_normalized(folder, model.config) if normalize is None else normalize
        centres = centres if units in ("layer", "mfcc") else None
        tokenizer = cls(model, units, centres, layer, None, bool(normalize), bf16)
        if pieces != AUTO or own.get("pieces", True):
            pieces = find_pieces(folder, pieces, units, tokenizer.vocab_size, model)
            tokenizer.use_pieces(pieces)
        return tokenizer

    def use_pieces(self, pieces: AcousticPieces | None) -> None:
        """Give pieces from now on, or with None the units themselves.

        Raises:
            ValueError: the pieces cannot have been learned on these units.
        """
        if pieces is not None:
            self._check_pieces(pieces)
        self.pieces = pieces

    def save_pretrained(self, folder: str | Path) -> None:
        """Write everything that `from_pretrained` needs, whole or not at all.

        Raises:
            FileExistsError: `folder` holds files, but no tokenizer to replace.
        """
        names = ("units", "layer", "normalize")
        settings = {"format": 1, **{name: getattr(self, name) for name in names}}
        settings["pieces"] = self.pieces is not None
        with whole_folder(Path(folder), SETTINGS, "unit tokenizer") as temporary:
            if self.model is not None:
                self.model.save_pretrained(temporary)
                extractor = default_feature_extractor(self.model.config)
                extractor.do_normalize = self.normalize
                extractor.save_pretrained(temporary)
            if self.kmeans is not None:
                self.kmeans.save_pretrained(temporary / KMEANS)
            if self.pieces is not None:
                self.pieces.save_pretrained(temporary / PIECES)
            (temporary / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")

    def _check_parts(self) -> None:
        if check_units(self.units) != "mfcc" and self.model is None:
            raise ValueError(f"units is {self.units!r}, but there is no model; pass model.")
        if self.units in ("spin", "auxiliary") and not isinstance(self.model, RSpinModel):
            raise ValueError(
                f"units is {self.units!r}, but {type(self.model).__name__} has no codebook; "
                "expected an RSpinModel."
            )
        if self.units in ("layer", "mfcc") and self.kmeans is None:
            raise ValueError(f"units is {self.units!r}, but there is no k-means; pass kmeans.")
        if self.units == "layer" and self.layer is None:
            raise ValueError(
                "the k-means does not say which layer it clusters; pass layer, such as 9."
            )

    def unnormalized_extractor(self) -> UnitExtractor:
        """Return an extractor for waveforms that have mean 0 and variance 1 already."""
        return self._build_extractor(normalize=False)

    def _build_extractor(self, normalize: bool) -> UnitExtractor:
        if self.units == "spin":
            return codebook_units(self.model, normalize, self.bf16)
        if self.units == "auxiliary":
            return predicted_pieces(self.model, normalize, self.bf16)
        extractor = kmeans_units(self._features(normalize), self.kmeans)
        dim = MFCC_SIZE if self.units == "mfcc" else self.model.config.hidden_size
        if self.kmeans.cluster_centers.shape[1] != dim:
            raise ValueError(
                f"the k-means has centres of {self.kmeans.cluster_centers.shape[1]} dimensions, "
                f"and the features have {dim}: it was fitted on others."
            )
        return extractor

    def _features(self, normalize: bool) -> FrameFeatures:
        if self.units == "mfcc":
            return mfcc_features()
        return layer_features(self.model, self.layer, self.bf16, normalize)

    def _check_pieces(self, pieces: AcousticPieces) -> None:
        problem = pieces_problem(pieces, self.units, self.extractor.num_units, self.model)
        if problem:
            raise ValueError(
                f"these acoustic pieces do not fit: {problem}; pass those learned on these units, "
                "or None."
            )
        made, here = pieces.provenance, self.extractor.provenance
        if any(made[key] != here.get(key) for key in ("weights", "centres") if key in made):
            logger.warning(
                "The acoustic pieces were learned on the units of other weights; they fit only if "
                "these are the same weights in another precision."
            )


def _read_blocks(
    audio: Iterable[AudioSource], sampling_rate: float | None, seconds: float, strict: bool
) -> Iterator[dict[int, np.ndarray | None]]:
    """Read waveforms by index, cut to whole frames, about `seconds` of audio at a time."""
    block: dict[int, np.ndarray | None] = {}
    held = 0
    for index, source in enumerate(audio):
        try:
            waveform = _read(source, sampling_rate, index)
            block[index] = waveform[: num_samples(num_frames(len(waveform)))]
            held += len(waveform)
        except AudioError as error:
            if strict:
                raise
            logger.warning("Left out: %s", error)
            block[index] = None
        if held >= seconds * SAMPLING_RATE:
            yield block
            block, held = {}, 0
    yield block


def _read(source: AudioSource, sampling_rate: float | None, index: int) -> np.ndarray:
    if isinstance(source, np.ndarray) and source.size == 0:
        return np.zeros(0, np.float32)  # an array may be empty, a file may not
    try:
        return read_audio(source, array_rate=sampling_rate)
    except AudioError as error:  # what has no path is named by its place
        raise AudioError(re.sub("<audio[^>]*>", f"waveform {index}", str(error))) from error
