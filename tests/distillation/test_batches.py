"""Batches of distillation: crops, targets and units of one place, decided by seed and update."""

import pickle

import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.audio import num_frames, num_samples, read_audio
from hf_rspin.data import load_corpus
from hf_rspin.distillation.batches import DistillationBatches
from hf_rspin.distillation.input_noise import InputNoise
from hf_rspin.distillation.teacher_cache import cache_teacher
from hf_rspin.distillation.teachers import load_teacher
from hf_rspin.units import FrameLabels
from hf_rspin.views import NoiseBank
from hf_rspin.views.noise import mean_power


@pytest.fixture(scope="module")
def caches(tmp_path_factory, hubert, whisper, corpus):
    folder = tmp_path_factory.mktemp("caches")
    return [
        cache_teacher(folder / "0", load_teacher(hubert, bf16=False), [1, 3], corpus),
        cache_teacher(folder / "1", load_teacher(whisper, bf16=False), [2], corpus),
    ]


@pytest.fixture(scope="module")
def labels(caches):
    """The unit of a frame is its number, plus a thousand for each utterance."""
    pairs = zip(caches[0].ids, caches[0].frames.tolist(), strict=True)
    rows = {name: 1000 * i + np.arange(n) for i, (name, n) in enumerate(pairs)}
    return FrameLabels.from_sequences(rows, 8000)


def bank():
    generator = np.random.default_rng(5)
    return NoiseBank([generator.normal(size=20_000).astype(np.float32) for _ in range(2)])


def build(caches, labels=None, **options):
    options = {"num_updates": 20, "batch_seconds": 6, "crop_seconds": 1.5, **options}
    return DistillationBatches(caches, labels=labels, **options)


def same(one, other):
    return one.keys() == other.keys() and all(
        all(torch.equal(a, b) for a, b in zip(one[key], other[key], strict=True)) for key in one
    )


def test_audio_features_and_units_are_of_one_place(caches, labels):
    batches = build(caches, labels, mask_start=0.08)
    starts = set()
    for update in range(20):
        batch = batches[update]
        size, samples = batch["input_values"].shape
        frames = num_frames(samples)
        assert samples == num_samples(frames) and size * samples <= 6 * 16000
        assert [t.shape for t in batch["targets"]] == [(size, 2, frames, 16), (size, 1, frames, 12)]
        assert batch["labels"].shape == batch["mask_time_indices"].shape == (size, frames)
        assert batch["labels"].dtype == torch.int64 and batch["input_values"].dtype == torch.float32
        for row in range(size):
            utterance, first = divmod(int(batch["labels"][row, 0]), 1000)
            starts.add(first)
            wanted = 1000 * utterance + torch.arange(first, first + frames)
            assert torch.equal(batch["labels"][row], wanted)
            audio = caches[0].audio(utterance, first, samples)
            assert np.array_equal(batch["input_values"][row], audio)
            for cache, target in zip(caches, batch["targets"], strict=True):
                assert torch.equal(target[row], cache.features(utterance, first, frames))
    assert len(starts) > 10


def test_the_teacher_heard_that_place(caches, labels, corpus, hubert):
    """Recomputed from the file: the crop's targets are the frames of the whole utterance there."""
    batch = build(caches, labels)[3]
    teacher = load_teacher(hubert, bf16=False)
    utterance, first = divmod(int(batch["labels"][0, 0]), 1000)
    frames = batch["labels"].shape[1]
    waveform = read_audio(corpus[utterance]["audio"])
    waveform = waveform[: num_samples(num_frames(len(waveform)))]
    (features,) = teacher.features([waveform], [1, 3])
    found = batch["targets"][0][0] * caches[0].deviation + caches[0].mean
    wanted = features[first : first + frames].transpose(0, 1)
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)


def test_a_batch_depends_on_seed_and_update_alone(caches, labels):
    options = {"mask_start": 0.08, "noise": InputNoise(bank(), 0.5, 0.5), "do_normalize": True}
    forwards = build(caches, labels, seed=1, **options)
    expected = [forwards[update] for update in range(20)]
    jumping = build(caches, labels, seed=1, **options)
    for update in (19, 2, 11, 2, 0):
        assert same(jumping[update], expected[update])
    assert same(pickle.loads(pickle.dumps(jumping))[7], expected[7])
    other = build(caches, labels, seed=2, **options)
    assert not any(same(other[update], expected[update]) for update in range(20))


def test_every_utterance_is_met_as_often_as_its_length_says(caches, labels):
    batches = build(caches, labels, num_updates=400)
    firsts = [(batches[update]["labels"][:, 0] // 1000).tolist() for update in range(60)]
    counts = np.bincount([place for row in firsts for place in row], minlength=8)
    share = np.maximum(1, np.rint(batches.full_durations / 1.5))
    np.testing.assert_allclose(counts / counts.sum(), share / share.sum(), rtol=0.25)


def test_audio_of_a_whole_crop_is_cropped_to_all_of_it(tmp_path, hubert):
    (tmp_path / "speech").mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        wave = generator.normal(0, 0.1, 20_000)  # 1.25 s: 62 frames take 19,920 samples
        soundfile.write(tmp_path / "speech" / f"{number}.wav", wave, 16000)
    corpus = load_corpus(tmp_path / "speech")
    cache = cache_teacher(tmp_path / "c", load_teacher(hubert, bf16=False), [1], corpus)
    batch = DistillationBatches([cache], 1, batch_seconds=4, crop_seconds=3.0)[0]
    assert batch["input_values"].shape == (3, num_samples(num_frames(20_000)))


def test_noise_changes_the_input_and_nothing_else(caches, labels):
    clean, noisy = (build(caches, labels, noise=noise, mask_start=0.08)
                    for noise in (None, InputNoise(bank(), 1.0, 0.0)))  # fmt: skip
    for update in range(5):
        one, other = clean[update], noisy[update]
        changed = (one["input_values"] != other["input_values"]).float().mean(dim=1)
        assert (changed > 0.9).all()
        del one["input_values"], other["input_values"]
        assert same(one, other)


def test_noise_has_the_snr_that_was_drawn(caches):
    noise = InputNoise(bank(), 1.0, 0.0, noise_snr_db=(3.0, 3.001))
    clean, noisy = build(caches), build(caches, noise=noise)
    for update in range(5):
        pairs = zip(clean[update]["input_values"], noisy[update]["input_values"], strict=True)
        for one, other in pairs:
            ratio = mean_power(one.numpy()) / mean_power((other - one).numpy())
            assert 10 * np.log10(ratio) == pytest.approx(3.0, abs=0.02)


def test_as_many_get_noise_as_was_asked_for():
    noise = InputNoise(bank(), 0.3, 0.4)
    generator = np.random.default_rng(0)
    wave, other = generator.normal(size=(2, 800)).astype(np.float32)
    kinds = []
    for _ in range(2000):
        changed = noise(wave, generator, other) != wave
        kinds.append("none" if not changed.any() else "noise" if changed.mean() > 0.6 else "voice")
    assert kinds.count("noise") / 2000 == pytest.approx(0.3, abs=0.04)
    assert kinds.count("voice") / 2000 == pytest.approx(0.7 * 0.4, abs=0.04)


def test_a_second_speaker_talks_over_at_most_half():
    noise = InputNoise(None, 0.5, 1.0, speaker_snr_db=(2.0, 2.001))
    generator = np.random.default_rng(0)
    wave = generator.normal(size=1000).astype(np.float32)
    other = 5 * generator.normal(size=1000).astype(np.float32)
    gain = np.sqrt(mean_power(wave) / mean_power(other) / 10**0.2)
    lengths, starts = [], []
    for _ in range(300):
        added = noise(wave, generator, other) - wave
        (places,) = np.nonzero(added)
        stretch = added[places[0] : places[-1] + 1]
        lengths.append(len(stretch))
        starts.append(places[0])
        # it is a stretch of the other one, at its level
        scores = np.correlate(other * gain, stretch, "valid")
        source = int(np.argmax(scores)) if len(stretch) > 20 else None
        if source is not None:
            wanted = gain * other[source : source + len(stretch)]
            np.testing.assert_allclose(stretch, wanted, rtol=1e-3, atol=1e-5)
    assert max(lengths) <= 500 and max(lengths) > 450 and min(lengths) < 50
    assert max(starts) > 800 and min(starts) < 100


def test_a_second_speaker_is_a_neighbour_of_the_batch(caches):
    clean, mixed = build(caches), build(caches, noise=InputNoise(None, 0.0, 1.0))
    one, other = clean[0]["input_values"], mixed[0]["input_values"]
    changed = [not torch.equal(a, b) for a, b in zip(one, other, strict=True)]
    assert len(changed) > 1 and all(changed)
    share = (one != other).float().mean(dim=1)
    assert (share <= 0.5).all()


def test_an_utterance_does_not_talk_over_itself(caches):
    options = {"crop_seconds": 1.0, "batch_seconds": 60, "num_updates": 4}
    clean, mixed = (build(caches[:1], seed=3, noise=noise, **options)
                    for noise in (None, InputNoise(None, 0.0, 1.0)))  # fmt: skip
    _, members = clean.plan.batch(0)
    pairs = zip(clean[0]["input_values"], mixed[0]["input_values"], strict=True)
    changed = [not torch.equal(a, b) for a, b in pairs]
    alone = [members[row - 1] == members[row] for row in range(len(members))]
    assert any(alone) and not any(c for c, a in zip(changed, alone, strict=True) if a)
    assert sum(changed) > 0.8 * alone.count(False)  # a few get a stretch of silence


def test_nothing_is_added_where_there_is_nothing_to_add():
    wave = np.random.default_rng(0).normal(size=500).astype(np.float32)
    always = InputNoise(None, 1.0, 1.0)
    for other in (None, np.zeros(500, np.float32)):
        assert np.array_equal(always(wave, np.random.default_rng(0), other), wave)


def test_inputs_are_normalised_where_the_student_wants_it(caches):
    batches = build(caches, do_normalize=True, noise=InputNoise(bank(), 0.5, 0.5))
    values = batches[0]["input_values"]
    torch.testing.assert_close(values.mean(dim=1), torch.zeros(len(values)), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.std(dim=1), torch.ones(len(values)), rtol=0, atol=1e-2)
    assert values.dtype == torch.float32


def test_units_that_do_not_fit_are_refused(caches, labels):
    rows = {name: labels[name] for name in labels}
    rows["3"] = rows["3"][:-1]
    counts = len(rows["3"])
    with pytest.raises(ValueError, match=f"^utterance 3 has {counts + 1} frames and {counts} "):
        build(caches, FrameLabels.from_sequences(rows, 8000))
    del rows["3"]
    with pytest.raises(ValueError, match="utterance 3 has .* frames and no labels: make the units"):
        build(caches, FrameLabels.from_sequences(rows, 8000))


def test_caches_of_other_utterances_are_refused(tmp_path, caches, hubert, corpus):
    fewer = cache_teacher(tmp_path, load_teacher(hubert, bf16=False), [1], corpus.select(range(7)))
    with pytest.raises(ValueError, match="are of other utterances: remove the folders"):
        build([caches[0], fewer])


def test_parts_of_a_long_recording_are_utterances(tmp_path, hubert, speech):
    folder = tmp_path / "speech"
    folder.mkdir()
    parts = [soundfile.read(file)[0] for file in sorted(speech.glob("*.flac"))]
    whole = np.concatenate([part for _ in range(4) for part in parts])[: 70 * 16000]
    soundfile.write(folder / "long.flac", whole, 16000)
    rows = load_corpus(folder, segment_seconds=17.0)
    cache = cache_teacher(tmp_path / "cache", load_teacher(hubert, bf16=False), [1], rows)
    assert len(cache) == len(rows) >= 5 and len(set(cache.ids)) == len(rows)
    starts = [row["audio"]["start"] for row in rows]
    for place, start in enumerate(starts):
        first = round(16000 * start)
        found = cache.audio(place, 3, 4000)
        np.testing.assert_allclose(found, whole[first + 960 : first + 4960], atol=1e-4)
    batch = build([cache], crop_seconds=3.0, batch_seconds=12)[0]
    assert batch["input_values"].shape == (4, num_samples(num_frames(48000)))


def test_utterances_shorter_than_a_second_are_no_batch(tmp_path, hubert, speech):
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "a.wav", soundfile.read(speech / "0.flac")[0][:12000], 16000)
    cache = cache_teacher(tmp_path / "cache", load_teacher(hubert, bf16=False), [1],
                          load_corpus(folder), min_seconds=0.5)  # fmt: skip
    with pytest.raises(ValueError, match="no utterance lasts one second or more; add longer"):
        build([cache])[0]
