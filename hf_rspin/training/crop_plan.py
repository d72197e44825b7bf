"""Which crops make which update: a function of (seed, update) alone, all of one length in a batch.

No padding then reaches the group norm of the convolutions, and a run that was killed goes on
exactly where it stopped.
"""

from __future__ import annotations

import numpy as np

from hf_rspin.audio import SAMPLING_RATE, num_frames, num_samples


class CropPlan:
    """Batches of crops; an utterance is cropped about once per `crop_seconds` in every epoch.

    Args:
        seconds: (utterances,), their durations.
        batch_seconds: audio per batch.
        crop_seconds: longest crop.
        seed: of the order.
    """

    def __init__(
        self, seconds: np.ndarray, batch_seconds: float, crop_seconds: float, seed: int = 0
    ):
        self.seconds, self.batch_seconds = np.asarray(seconds, dtype=np.float64), batch_seconds
        self.crop_seconds, self.seed = crop_seconds, seed
        self._epochs: dict[int, list[tuple[int, np.ndarray]]] = {}
        self._first_update: list[int] = [0]

    def batch(self, update: int) -> tuple[int, np.ndarray]:
        """Return the samples of every crop of an update, and the utterances that they are of."""
        while self._first_update[-1] <= update:
            epoch = len(self._first_update) - 1
            self._epochs = {epoch: self._plan_epoch(epoch)}
            self._first_update.append(self._first_update[-1] + len(self._epochs[epoch]))
        epoch = int(np.searchsorted(self._first_update, update, side="right")) - 1
        if epoch not in self._epochs:
            self._epochs = {epoch: self._plan_epoch(epoch)}
        return self._epochs[epoch][update - self._first_update[epoch]]

    def _plan_epoch(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """Group crops of similar length; lengths are multiples of a quarter of a second."""
        generator = np.random.default_rng([self.seed, 0, epoch])
        seconds = self.seconds
        crops = np.repeat(
            np.arange(len(seconds)), np.maximum(1, np.rint(seconds / self.crop_seconds)).astype(int)
        )
        quarter = np.floor(4 * np.minimum(seconds, self.crop_seconds)).astype(int)
        batches, left_over = [], np.empty(0, dtype=int)
        for length in np.unique(quarter[quarter >= 4])[::-1]:
            members = generator.permutation(crops[quarter[crops] == length])
            members = np.concatenate([left_over, members])
            size = max(1, int(self.batch_seconds * 4 / length))
            # Whole frames only: a crop of n frames takes exactly the samples they cover.
            samples = num_samples(num_frames(int(length) * SAMPLING_RATE // 4))
            full = len(members) - len(members) % size
            batches += [(samples, members[i : i + size]) for i in range(0, full, size)]
            # What does not fill a batch is cropped to the next shorter length.
            left_over = members[full:]
        if len(left_over):
            batches.append((samples, left_over))
        if not batches:
            raise ValueError("no utterance lasts one second or more; add longer recordings.")
        return [batches[i] for i in generator.permutation(len(batches))]
