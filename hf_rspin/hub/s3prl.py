"""Our folders, and any HuBERT or WavLM, as an upstream of s3prl (SUPERB).

s3prl is not required: `UpstreamExpert` is an `nn.Module` with the interface that s3prl calls. With
s3prl installed:

    import s3prl.nn
    from hf_rspin.hub.s3prl import register
    register()
    upstream = s3prl.nn.S3PRLUpstream("hf_rspin", path_or_url="runs/rspin")  # or a Hub id

In a checkout of s3prl, the line `from hf_rspin.hub.s3prl import hf_rspin` in `s3prl/hub.py` also
gives its command line the entry: `run_downstream.py -u hf_rspin -k runs/rspin ...`. (That command
of s3prl 0.4.18 imports names that huggingface_hub 1.0 removed; `s3prl.nn` works with the versions
that this package needs.)

s3prl's own entries for Hugging Face folders (`hf_hubert_custom`, ...) go wrong without a word: they
read every folder with one class, so that WavLM loses its relative positions; they trust a
`do_normalize` that contradicts the training; the GroupNorm of base models sees the padding of the
batch; layer drop and SpecAugment are on while fine-tuning; and the last hidden state of large
models comes without the final LayerNorm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig

from hf_rspin.audio import FRAME_SHIFT, FRAME_WINDOW, normalize_waveforms
from hf_rspin.models.encoder import FAMILIES, mixes_padding
from hf_rspin.models.folders import fetch, read_config, wants_normalized
from hf_rspin.models.loading import load_encoder

# encoders with the same parts under the same names
ENCODERS = tuple(name for name, family in FAMILIES.items() if family.splits)


class UpstreamExpert(nn.Module):
    """All hidden states of an encoder, each utterance as if it were alone.

    The convolutions, whose GroupNorm would see padding, run per utterance; the layers run as one
    masked batch. As of s3prl's own HuBERT and WavLM, the hidden states are the input of every layer
    and the output of the encoder: with "stable layer norm" (large models) the last one has the
    final LayerNorm, which `hidden_states[-1]` of transformers lacks. Fine-tuning knows no layer
    drop and no SpecAugment, and leaves the convolutions as they are, again as s3prl's own.

    Args:
        ckpt: folder of a model, with our heads (which are left out) or plain, a file in it, a Hub
            id, or "bundled".
        model_config: None; s3prl passes it, and the folder has its config.
        refresh: unused; s3prl passes it, and downloads are checked for news anyway.
        normalize: feed waveforms of mean 0 and variance 1; None for what the folder says, see
            `wants_normalized`.
        freeze_convolutions: no gradients for the convolutional front end.

    Raises:
        ValueError: no such folder, another kind of encoder, or weights are missing.
    """

    def __init__(
        self,
        ckpt: str | Path,
        model_config: str | None = None,
        refresh: bool = False,
        normalize: bool | None = None,
        freeze_convolutions: bool = True,
    ) -> None:
        super().__init__()
        folder = _find_folder(ckpt, model_config)
        self.model = load_encoder(folder)
        config = self.model.config
        config.layerdrop = 0.0  # it would remove entries from the hidden states
        self.normalize = wants_normalized(folder, config) if normalize is None else normalize
        self.freeze_convolutions = freeze_convolutions
        if freeze_convolutions:
            self.model.feature_extractor.requires_grad_(False)

    def get_downsample_rates(self, key: str | None = None) -> int:
        """Return the samples at 16 kHz from one frame to the next, the same for every feature."""
        return FRAME_SHIFT

    def forward(self, wavs: Sequence[Tensor]) -> dict[str, Tensor | list[Tensor]]:
        """Encode waveforms (samples,) at 16 kHz, on the device of the model.

        Returns:
            `hidden_states`: a list of (batch, frames, dim), layers + 1 of them. Behind its end an
            utterance repeats its last frame: s3prl counts samples / 320 frames, up to one more
            than there are, and reads the same there in a batch as from an utterance alone.
            Also `last_hidden_state`, and `hidden_state_0` to `hidden_state_{layers}`.

        Raises:
            ValueError: no waveform, one of another shape, or one shorter than a frame.
        """
        _check_waveforms(wavs)
        groups = [[wav] for wav in wavs] if mixes_padding(self.model.config) else [wavs]
        rows: list[list[Tensor]] = []  # by utterance, then by layer: (frames, dim)
        for group in groups:
            rows += self._states(group)
        states = [_repeat_last(layer) for layer in zip(*rows, strict=True)]
        numbered = {f"hidden_state_{index}": state for index, state in enumerate(states)}
        return {"hidden_states": states, "last_hidden_state": states[-1], **numbered}

    def _states(self, wavs: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return the states (frames, dim) of every utterance, by layer."""
        features = [self._convolve(wav) for wav in wavs]
        lengths = [len(feature) for feature in features]
        projected = self.model.feature_projection(pad_sequence(features, batch_first=True))
        if isinstance(projected, tuple):
            projected = projected[0]  # some encoders hand on what came in as well
        mask = None
        if min(lengths) < max(lengths):
            frames = torch.arange(max(lengths), device=projected.device)
            mask = frames < torch.tensor(lengths, device=projected.device)[:, None]
        layers = self._encode(projected, mask)
        return [[s[row, :length] for s in layers] for row, length in enumerate(lengths)]

    def _convolve(self, wav: Tensor) -> Tensor:
        """(samples,) -> (frames, channels)."""
        if self.normalize:
            wav = normalize_waveforms(wav)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_convolutions):
            return self.model.feature_extractor(wav[None])[0].T

    def _encode(self, projected: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Return the input of every layer and the output, (batch, frames, dim) each."""
        inputs: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
            for layer in self.model.encoder.layers
        ]
        try:
            output = self.model.encoder(projected, attention_mask=mask).last_hidden_state
        finally:
            for hook in hooks:
                hook.remove()
        return [*inputs, output]


def hf_rspin(ckpt: str | Path, *args: Any, **kwargs: Any) -> UpstreamExpert:
    """Return the upstream of a folder or Hub id: the entry of s3prl's hub; see the class."""
    return UpstreamExpert(ckpt, *args, **kwargs)


def register() -> None:
    """Add the entry `hf_rspin` to the hub of the s3prl that is installed.

    Raises:
        ImportError: s3prl is not installed.
    """
    try:
        from s3prl import hub
    except ImportError as error:
        raise ImportError(
            f"s3prl could not be imported ({error}); install it with pip install s3prl, or use "
            "UpstreamExpert without it."
        ) from error
    hub.hf_rspin = hf_rspin


def _find_folder(ckpt: str | Path | None, model_config: str | None) -> Path:
    if ckpt is None:
        raise ValueError("no model was given; pass the folder of one, or a Hub id (-k in s3prl).")
    if model_config is not None:
        raise ValueError(f"model_config is {model_config}; leave it out: the folder has a config.")
    folder = fetch(Path(ckpt).parent if Path(ckpt).is_file() else ckpt)
    config = read_config(folder)
    if config.get("model_type") not in ENCODERS:
        raise ValueError(
            f"{folder} holds a {config.get('model_type')!r} model; expected one of "
            f"{', '.join(ENCODERS)}."
        )
    shift = math.prod(AutoConfig.from_pretrained(str(folder), trust_remote_code=False).conv_stride)
    if shift != FRAME_SHIFT:
        raise ValueError(
            f"{folder} has a frame every {shift} samples; expected {FRAME_SHIFT}, 20 ms at 16 kHz."
        )
    return folder


def _check_waveforms(wavs: Sequence[Tensor]) -> None:
    if len(wavs) == 0:
        raise ValueError("got no waveform; expected a list of at least one.")
    for index, wav in enumerate(wavs):
        if not (isinstance(wav, Tensor) and wav.dim() == 1 and wav.is_floating_point()):
            what = (
                f"{wav.dtype} of shape {tuple(wav.shape)}"
                if isinstance(wav, Tensor)
                else type(wav).__name__
            )
            raise ValueError(
                f"got waveform {index} as {what}; expected a float tensor (samples,) at 16 kHz."
            )
        if len(wav) < FRAME_WINDOW:
            raise ValueError(
                f"waveform {index} has {len(wav)} samples; one frame takes {FRAME_WINDOW}: leave "
                "utterances this short out."
            )


def _repeat_last(rows: Sequence[Tensor]) -> Tensor:
    """(frames of each, dim) of all utterances -> (batch, frames, dim)."""
    longest = max(map(len, rows))
    return torch.stack([
        torch.cat([row, row[-1:].expand(longest - len(row), -1)]) for row in rows
    ])  # fmt: skip
