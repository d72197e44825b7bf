"""The heads of SUPERB's probes: from weighted features to scores of classes.

Utterances come one after the other, (all frames, dim), with the number of frames of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class LinearHead(nn.Module):
    """Linear(dim, 256), Linear(256, classes), no non-linearity: phone recognition.

    Args:
        dim: of the features.
        num_classes: with the CTC blank.
        projection_size: between the two.
    """

    def __init__(self, dim: int, num_classes: int, projection_size: int = 256) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, projection_size)
        self.classifier = nn.Linear(projection_size, num_classes)

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """(all frames, dim) -> (all frames, classes)."""
        return self.classifier(self.projection(frames))


class MeanHead(LinearHead):
    """Linear(dim, 256), mean over the frames of an utterance, Linear: speaker identification."""

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """(all frames, dim) -> (utterances, classes)."""
        # the mean first: the same for a linear projection, and hundreds of times less work
        means = torch.stack([part.mean(0) for part in frames.split(list(lengths))])
        return self.classifier(self.projection(means))


class RecurrentHead(nn.Module):
    """Linear(dim, hidden), bidirectional LSTMs with dropout after each, Linear: characters.

    Args:
        dim: of the features.
        num_classes: with the CTC blank.
        hidden_size: of the projection, and of each direction; SUPERB: 1024.
        depth: number of LSTMs.
        dropout: share of the outputs of each LSTM that training sets to zero.
    """

    def __init__(
        self, dim: int, num_classes: int, hidden_size: int = 256, depth: int = 2,
        dropout: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.projection = nn.Linear(dim, hidden_size)
        self.lstm = nn.LSTM(
            hidden_size, hidden_size, depth, bidirectional=True, batch_first=True,
            dropout=dropout if depth > 1 else 0.0,  # between them
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)  # after the last
        self.classifier = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """(all frames, dim) -> (all frames, classes)."""
        utterances = self.projection(frames).split(list(lengths))
        padded = pad_sequence(utterances, batch_first=True)
        packed = pack_padded_sequence(
            padded, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        joined = torch.cat([row[:length] for row, length in zip(hidden, lengths, strict=True)])
        return self.classifier(self.dropout(joined))
