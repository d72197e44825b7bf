"""Two views by (epoch, index): alignment, reproducibility, bad files."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hf_rspin.audio import AudioError, num_frames, random_crop, read_audio
from hf_rspin.data import (
    DurationBatchSampler,
    SkippedFile,
    SkippedFiles,
    TwoViewCollator,
    TwoViewDataset,
    load_corpus,
)
from hf_rspin.data.dataset import CROP
from hf_rspin.seeding import example_generator
from hf_rspin.views import LaserViews, NoiseBank, RSpinViews, SpinViews

PLAIN = SpinViews(perturb_speaker=False, equalize=False)


def noisy():
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    return RSpinViews(NoiseBank([noise]), perturb_speaker=False, equalize=False)


class Labels(dict):
    num_labels = 10_000


@pytest.fixture
def ramps(write, tmp_path):
    """Utterances in which every sample of frame n has the value n / 1000: crops show themselves."""
    for index, frames in enumerate((30, 60, 90, 120)):
        samples = np.repeat(np.arange(frames + 2), 320)[: 320 * frames + 80] / 1000
        write(f"r{index}.wav", samples=samples)
    return load_corpus(tmp_path)


def labels_of(corpus):
    lengths = [num_frames(round(seconds * 16_000)) for seconds in corpus["duration"]]
    return Labels({key: np.arange(n) for key, n in zip(corpus["id"], lengths, strict=True)})


def test_crops_keep_views_and_labels_aligned(ramps):
    dataset = TwoViewDataset(ramps, PLAIN, labels_of(ramps), min_seconds=0.1, max_seconds=0.905)
    starts = set()
    for epoch in range(8):
        example = dataset[epoch, 3]
        assert len(example.clean) == 14_480
        assert len(example.labels) == num_frames(14_480)
        values = np.round(example.clean[: 320 * len(example.labels) : 320] * 1000)
        np.testing.assert_array_equal(values, example.labels)
        np.testing.assert_array_equal(example.clean, example.perturbed)
        starts.add(int(example.labels[0]))
    assert len(starts) > 1


def test_short_utterances_are_left_out_with_one_warning_that_names_them(ramps, caplog):
    dataset = TwoViewDataset(ramps, PLAIN, min_seconds=1.0, max_seconds=1.5)
    assert len(dataset) == 3
    assert dataset.num_too_short == 1
    assert dataset.durations.max() == 1.5
    named = [record.message for record in caplog.records if "r0.wav" in record.message]
    assert len(named) == 1
    assert "1 of 4" in named[0]


def test_draws_depend_on_seed_epoch_index_and_view_alone(ramps):
    def views(seed, epoch, index):
        example = TwoViewDataset(ramps, noisy(), seed=seed, min_seconds=0.1)[epoch, index]
        return example.clean, example.perturbed

    clean, perturbed = views(0, 0, 1)
    np.testing.assert_array_equal(clean, views(0, 0, 1)[0])
    np.testing.assert_array_equal(perturbed, views(0, 0, 1)[1])
    assert not np.array_equal(clean, perturbed)
    assert not np.array_equal(clean, views(0, 1, 1)[0])
    assert not np.array_equal(clean, views(1, 0, 1)[0])


def test_workers_make_the_same_batches(ramps):
    dataset = TwoViewDataset(ramps, noisy(), labels_of(ramps), min_seconds=0.1)

    def batches(workers):
        sampler = DurationBatchSampler(dataset.durations, 3.0)
        loader = DataLoader(
            dataset, batch_sampler=sampler, collate_fn=TwoViewCollator(), num_workers=workers
        )
        return list(loader)

    for alone, with_workers in zip(batches(0), batches(2), strict=True):
        for name in ("input_values", "perturbed_input_values", "attention_mask", "labels"):
            assert torch.equal(alone[name], with_workers[name])


def test_collator_pads_views_masks_and_labels(ramps):
    dataset = TwoViewDataset(ramps, PLAIN, labels_of(ramps), min_seconds=0.1)
    batch = TwoViewCollator()(dataset.__getitems__([(0, 0), (0, 2)]))
    lengths = [320 * 30 + 80, 320 * 90 + 80]
    assert batch["input_values"].shape == batch["perturbed_input_values"].shape == (2, lengths[1])
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert batch["perturbed_attention_mask"].sum(1).tolist() == lengths
    assert (batch["input_values"][0, lengths[0] :] == 0).all()
    assert batch["labels"].shape == (2, 90)
    assert (batch["labels"][0, 30:] == -100).all()
    assert batch["labels"][0, :30].tolist() == list(range(30))
    assert batch["batch_info"].seconds == pytest.approx(sum(lengths) / 16_000)


def test_normalised_views_ignore_padding(ramps):
    dataset = TwoViewDataset(ramps, LaserViews((0.5,)), min_seconds=0.1)
    batch = TwoViewCollator(do_normalize=True)(dataset.__getitems__([(0, 0), (0, 3)]))
    for view in ("", "perturbed_"):
        masks = batch[f"{view}attention_mask"].bool()
        for row, mask in zip(batch[f"{view}input_values"], masks, strict=True):
            assert row[mask].mean().item() == pytest.approx(0, abs=1e-4)
            assert row[mask].std().item() == pytest.approx(1, abs=1e-2)
            assert (row[~mask] == 0).all()


def test_each_view_has_a_mask_of_its_own_length(ramps):
    dataset = TwoViewDataset(ramps, LaserViews((0.5,)), min_seconds=0.1)
    batch = TwoViewCollator()(dataset.__getitems__([(0, 0), (0, 2)]))
    lengths = [320 * 30 + 80, 320 * 90 + 80]
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert batch["perturbed_attention_mask"].sum(1).tolist() == [2 * n for n in lengths]
    for view in ("", "perturbed_"):
        mask = batch[f"{view}attention_mask"]
        assert mask.shape == batch[f"{view}input_values"].shape
        assert (mask.diff(dim=1) <= 0).all()  # ones first


@pytest.mark.parametrize("suffix", ["flac", "ogg", "wav"])
def test_a_crop_of_a_long_file_is_that_of_the_whole(write, tmp_path, suffix, monkeypatch):
    path = write(f"long.{suffix}", 9.0)
    dataset = TwoViewDataset(load_corpus(tmp_path), PLAIN, seed=3, max_seconds=2.6)
    whole = read_audio(path)
    monkeypatch.setattr(TwoViewDataset, "_crop_of_whole", None)  # the rest is not decoded
    for epoch in range(4):
        start, stop = random_crop(len(whole), 41_600, example_generator(3, epoch, 0, CROP))
        np.testing.assert_array_equal(dataset[epoch, 0].clean, whole[start:stop])


def test_a_silent_crop_of_a_recording_that_is_not_is_used(write, tmp_path):
    samples = np.zeros(16_000 * 20)
    samples[:1000] = 0.1
    write("pauses.flac", samples=samples)
    write("silent.flac", samples=np.zeros(16_000 * 20))
    dataset = TwoViewDataset(load_corpus(tmp_path), PLAIN, max_seconds=3.0)
    for epoch in range(3):
        assert len(dataset[epoch, 0].clean) == 48_000
        with pytest.raises(AudioError, match=r"silent\.flac is silent"):
            dataset[epoch, 1]


def test_audio_longer_than_announced_does_not_break_the_batch(write, tmp_path):
    corpus = load_corpus(write("u.flac", 3.0).parent)
    write("u.flac", 96.0)
    with pytest.raises(AudioError, match=r"96\.000 s but 3\.000 s were announced"):
        TwoViewDataset(corpus, PLAIN)[0, 0]
    dataset = TwoViewDataset(corpus, PLAIN, max_seconds=3.0)  # the crop is as long as announced
    assert len(dataset[0, 0].clean) == 48_000


@pytest.fixture
def spoiled(write, tmp_path):
    """Six files of which, after loading, three go bad: damaged, silent, cut to a tenth."""
    for index in range(6):
        write(f"u{index}.wav", 1.0 + 0.1 * index, seed=index)
    corpus = load_corpus(tmp_path)
    (tmp_path / "u1.wav").write_bytes(b"RIFF damaged")
    write("u2.wav", samples=np.zeros(19_200))
    write("u3.wav", 0.13)
    return TwoViewDataset(corpus, PLAIN, min_seconds=0.5)


def test_files_that_go_bad_are_skipped_and_reported(spoiled):
    batch = TwoViewCollator()(spoiled.__getitems__([(0, index) for index in range(6)]))
    assert len(batch["input_values"]) == 3
    skipped = {item.name.rsplit("/", 1)[1]: item.reason for item in batch["batch_info"].skipped}
    assert set(skipped) == {"u1.wav", "u2.wav", "u3.wav"}
    assert "silent" in skipped["u2.wav"]
    assert "1.300 s were announced" in skipped["u3.wav"]


def test_a_batch_of_bad_files_gets_the_nearest_utterance(spoiled):
    items = spoiled.__getitems__([(0, 1), (0, 2)])
    assert [type(item) for item in items[:2]] == [SkippedFile, SkippedFile]
    assert len(items[-1].clean) == 16_000  # u0, the nearest that is not longer


def test_single_items_and_strict_batches_raise(spoiled):
    with pytest.raises(AudioError, match="u1.wav"):
        spoiled[0, 1]
    spoiled.strict = True
    with pytest.raises(AudioError, match="u1.wav"):
        spoiled.__getitems__([(0, 0), (0, 1)])


def test_nothing_but_bad_files_is_an_error_not_a_loop(write, tmp_path):
    for index in range(3):
        write(f"u{index}.wav", 1.0)
    corpus = load_corpus(tmp_path)
    for index in range(3):
        (tmp_path / f"u{index}.wav").unlink()
    with pytest.raises(AudioError, match="in a row could not be used"):
        TwoViewDataset(corpus, PLAIN, min_seconds=0.5).__getitems__([(0, 0)])


def test_labels_that_do_not_fit_skip_the_utterance(ramps):
    labels = labels_of(ramps)
    labels["r1"] = labels["r1"][:-1]  # one frame: resamplers differ by that much
    labels["r2"] = labels["r2"][:-5]
    items = TwoViewDataset(ramps, PLAIN, labels, min_seconds=0.1).__getitems__([(0, 1), (0, 2)])
    batch = TwoViewCollator()(items)
    assert batch["labels"][0].tolist() == [*range(59), -100]
    assert "90 frames but 85 labels" in batch["batch_info"].skipped[0].reason


def test_a_table_may_give_the_range_of_a_voice(ramps):
    class Spy:
        def __call__(self, waveform, generators, f0_range=None, utterance=None):
            self.f0_range = f0_range
            return PLAIN(waveform, generators)

    spy = Spy()
    with_range = ramps.add_column("f0_floor", [80] * 4).add_column("f0_ceiling", [200] * 4)
    TwoViewDataset(with_range, spy, min_seconds=0.1)[0, 0]
    assert spy.f0_range == (80.0, 200.0)
    TwoViewDataset(ramps, spy, min_seconds=0.1)[0, 0]
    assert spy.f0_range is None


def test_an_utterance_is_not_in_its_own_babble(write, tmp_path):
    for index in range(3):
        samples = np.sin(2 * np.pi * 500 * 2**index * np.arange(8000) / 16_000)
        write(f"{index}.wav", samples=0.5 * samples)
    tone = 0.5 * np.sin(2 * np.pi * 4000 * np.arange(1600) / 16_000)
    write("short.wav", samples=tone)  # the data set leaves it out: its rows are not the bank's
    corpus = load_corpus(tmp_path).select([3, 0, 1, 2])
    bank = NoiseBank([], speech_sources=corpus["audio"], babble_probability=1.0,
                     babble_speakers=(1, 1), speech_names=corpus["id"][:])  # fmt: skip
    views = RSpinViews(bank, (0.0, 0.0), perturb_speaker=False, equalize=False)
    dataset = TwoViewDataset(corpus, views, min_seconds=0.2)
    for index in range(3):
        quiet = TwoViewDataset(corpus, PLAIN, min_seconds=0.2)[0, index].clean
        for epoch in range(20):
            example = dataset[epoch, index]
            for noisy_view in (example.clean, example.perturbed):
                noise = noisy_view - quiet
                own = np.fft.rfft(noise * np.hanning(len(noise)))[250 * 2**index]
                assert np.abs(own) < 0.01 * np.abs(noise).sum()


def test_missing_columns_are_said(ramps):
    with pytest.raises(ValueError, match="no column duration"):
        TwoViewDataset(ramps.remove_columns("duration"), PLAIN)


@pytest.mark.parametrize(
    ("floor", "ceiling"), [(200.0, 100.0), (0.0, 100.0), (-5.0, 90.0), (80.0, 2001.0)]
)
def test_impossible_ranges_of_voices_are_refused_at_once(ramps, floor, ceiling):
    corpus = ramps.add_column("f0_floor", [80.0] * 3 + [floor])
    corpus = corpus.add_column("f0_ceiling", [200.0] * 3 + [ceiling])
    with pytest.raises(ValueError, match=f"of r3 are {floor} and {ceiling}; expected Hz"):
        TwoViewDataset(corpus, PLAIN, min_seconds=0.1)
    TwoViewDataset(corpus.select(range(3)), PLAIN, min_seconds=0.1)


def test_ranges_that_are_text_are_refused_and_empty_ones_estimated(ramps):
    def with_floors(*floors):
        corpus = ramps.add_column("f0_floor", list(floors))
        return corpus.add_column("f0_ceiling", [200.0] * 4)

    with pytest.raises(ValueError, match="of r0 are low and 200.0"):
        TwoViewDataset(with_floors("low", "80", "80", "80"), PLAIN, min_seconds=0.1)
    corpus = with_floors(float("nan"), None, 80.0, 80.0)
    dataset = TwoViewDataset(corpus, SpinViews(), min_seconds=0.1)
    for index in (0, 1):
        example = dataset[0, index]
        assert len(example.clean) == len(example.perturbed)


def test_what_was_left_out_before_training_is_counted(ramps):
    skipped = SkippedFiles()
    skipped.note(SkippedFile("gone.wav", "gone.wav is missing."))
    dataset = TwoViewDataset(ramps, PLAIN, min_seconds=1.0, skipped=skipped)
    assert dataset.skipped is skipped
    assert [name.rsplit("/")[-1] for name in skipped.reasons] == ["gone.wav", "r0.wav"]


def test_audio_without_a_name_is_called_by_its_id(ramps):
    cells = [{"bytes": b"bad", "path": None}] * 4
    dataset = TwoViewDataset(ramps.remove_columns("audio").add_column("audio", cells), PLAIN,
                             min_seconds=0.1)  # fmt: skip
    item = dataset._try((0, 2))
    assert item.name == "utterance r2"
    assert "utterance r2 could not be read" in item.reason
