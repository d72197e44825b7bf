"""SummaryMixing: every frame sees one mean over the utterance, in time linear in its length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MIXINGS = ("full", "lite")


class MixingHead(nn.Module):
    """The two networks f and s of one group of channels: two linear layers, GELU after each.

    Args:
        local: sizes of the input, of the layer between and of the output of f; None: no f.
        summary: the same of s.
    """

    def __init__(self, local: tuple[int, int, int] | None, summary: tuple[int, int, int]):
        super().__init__()
        self.local_in = self.local_out = None
        if local is not None:
            self.local_in = nn.Linear(local[0], local[1])
            self.local_out = nn.Linear(local[1], local[2])
        self.summary_in = nn.Linear(summary[0], summary[1])
        self.summary_out = nn.Linear(summary[1], summary[2])

    def forward(self, states: Tensor, valid: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Return f of every frame (batch, frames, dim), and the mean of s (batch, 1, dim)."""
        gelu = nn.functional.gelu
        local = None
        if self.local_in is not None:
            local = without_padding(gelu(self.local_out(gelu(self.local_in(states)))), valid)
        summary = gelu(self.summary_out(gelu(self.summary_in(states))))
        return local, mean_over_frames(summary, valid)


class SummaryMixing(nn.Module):
    """Mixing of frames in place of self-attention (SummaryMixing, arXiv 2307.07421; 2407.13377).

    Full: y_t = c([f(x_t); mean over t' of s(x_t')]), where f and s are two linear layers each and c
    is one, with GELU after every layer, and the concatenation has dropout. Lite: y_t is the mean
    alone, the same at every frame. Frames that are padding take no part in the mean. With several
    heads, f and s are split into as many networks on equal parts of the channels, before one c.

    Example:
        >>> mixing = SummaryMixing(768)
        >>> mixing(torch.randn(2, 49, 768)).shape  # (batch, frames, hidden)
        torch.Size([2, 49, 768])

    Args:
        hidden: dimension of a frame.
        mixing: full or lite.
        heads: groups of channels; `hidden` and the sizes below are divided by it.
        dropout: probability with which a channel of the concatenation becomes 0; lite: of the mean.
        local_sizes: of the layer between and of the output of f; None: (hidden, hidden).
        summary_sizes: the same of s, whose output is that of lite.

    Raises:
        ValueError: another mixing, or sizes that the heads do not divide.
    """

    def __init__(
        self,
        hidden: int,
        mixing: str = "full",
        heads: int = 1,
        dropout: float = 0.1,
        local_sizes: tuple[int, int] | None = None,
        summary_sizes: tuple[int, int] | None = None,
    ):
        super().__init__()
        local, summary = (_sizes(hidden, given) for given in (local_sizes, summary_sizes))
        check_mixing(mixing, heads, local, summary)
        self.heads = nn.ModuleList(
            MixingHead(
                tuple(size // heads for size in local) if mixing == "full" else None,
                tuple(size // heads for size in summary),
            )
            for _ in range(heads)
        )
        self.dropout = nn.Dropout(dropout)
        self.combine = nn.Linear(local[-1] + summary[-1], hidden) if mixing == "full" else None

    def forward(self, states: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mix the frames of every utterance.

        Args:
            states: (batch, frames, hidden).
            valid: (batch, frames) bool or numbers, False or 0 on padding; None: there is none. An
                utterance that is all padding has the mean 0.

        Returns:
            (batch, frames, hidden); behind the end of an utterance as if f were 0 there.

        Raises:
            ValueError: `valid` has another shape.
        """
        if valid is not None:
            if valid.shape != states.shape[:2]:
                raise ValueError(
                    f"the mask has shape {tuple(valid.shape)}; expected {tuple(states.shape[:2])}, "
                    "batch and frames of the states: give one value per frame."
                )
            valid = valid.bool()
        parts = states.chunk(len(self.heads), dim=-1)
        found = [head(part, valid) for head, part in zip(self.heads, parts, strict=True)]
        summary = torch.cat([mean for _, mean in found], dim=-1)  # (batch, 1, summary)
        summary = summary.expand(-1, states.shape[1], -1)
        if self.combine is None:
            return self.dropout(summary)
        local = torch.cat([one for one, _ in found], dim=-1)  # (batch, frames, local)
        mixed = self.dropout(torch.cat([local, summary], dim=-1))
        return nn.functional.gelu(self.combine(mixed))


def mean_over_frames(states: Tensor, valid: Tensor | None) -> Tensor:
    """Return the mean (batch, 1, dim) over valid frames; 0 where there are none.

    Args:
        states: (batch, frames, dim).
        valid: (batch, frames) bool, or None.
    """
    if valid is None:
        return states.mean(dim=1, keepdim=True)
    # in half precision a sum over frames is soon beyond what can be said
    total = without_padding(states, valid).sum(
        dim=1, keepdim=True, dtype=torch.promote_types(states.dtype, torch.float32)
    )
    return (total / valid.sum(dim=1).clamp_min(1)[:, None, None]).to(states.dtype)


def without_padding(states: Tensor, valid: Tensor | None) -> Tensor:
    """Return states (batch, frames, dim) with 0 on padding, which may hold what is no number."""
    return states if valid is None else states.masked_fill(~valid[..., None], 0)


def check_mixing(mixing: str, heads: int, *sizes: tuple[int, ...]) -> None:
    """Refuse a mixing that cannot be built.

    Args:
        mixing: full or lite.
        heads: groups of channels.
        sizes: of networks: of the input, and where they are given of the two layers.

    Raises:
        ValueError: another mixing than full and lite, sizes that are not two whole numbers above 0
            behind the width, or that the heads do not divide.
    """
    if mixing not in MIXINGS:
        raise ValueError(f"mixing is {mixing!r}; expected one of {', '.join(MIXINGS)}.")
    for one in sizes:
        if len(one) not in (1, 3) or not all(map(_is_count, one)):
            raise ValueError(
                f"the width and the sizes of a network of the mixing are {one}; expected a width "
                "and two sizes, all whole numbers above 0: correct hidden, local_sizes or "
                "summary_sizes."
            )
    every = sorted({size for one in sizes for size in one})
    if not _is_count(heads) or any(size % heads for size in every):
        raise ValueError(
            f"mixing_heads is {heads!r}; expected a positive whole number that divides the width "
            f"({', '.join(map(str, every))})."
        )


def _sizes(hidden: int, given: Any) -> tuple[Any, ...]:
    if given is None:
        return hidden, hidden, hidden
    return (hidden, *given) if isinstance(given, list | tuple) else (hidden, given)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
