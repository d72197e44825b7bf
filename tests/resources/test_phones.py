"""Phone indices of the sample: one per encoder frame, silence left out, vowels loud."""

import numpy as np

from hf_rspin.audio import num_frames, read_audio
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.resources import load_sample


def test_one_index_per_frame_and_silence_is_quiet():
    whole, sample = EvaluationSet.from_corpus(load_sample()), load_sample("test")
    phones = dict(zip(whole.ids, whole.frame_labels(), strict=True))
    assert len(phones) == 120
    loud, quiet = [], []
    for row in sample:
        waveform = read_audio(row["audio"])
        labels = phones[row["id"]]
        assert len(labels) == num_frames(len(waveform))
        frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::320]
        energy = (frames**2).mean(axis=1)
        loud.append(energy[labels >= 0].mean())
        quiet.append(energy[labels < 0].mean())
    assert np.mean(quiet) < 0.01 * np.mean(loud)
    used = np.unique(np.concatenate(list(phones.values())))
    assert used[0] == -1 and (np.diff(used) == 1).all()
