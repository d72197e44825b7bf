"""Streaming k-means: exact means, Lloyd's quality, saving and going on."""

import numpy as np
import pytest
import soundfile
from sklearn.cluster import KMeans as ReferenceKMeans

from hf_rspin.audio import AudioError, num_frames
from hf_rspin.data import SkippedFiles
from hf_rspin.units.extractors import kmeans_units
from hf_rspin.units.fitting import fit_kmeans
from hf_rspin.units.kmeans import KMeans
from hf_rspin.units.mfcc import mfcc


def blobs(number, dim=8, clusters=12, seed=0):
    generator = np.random.default_rng(seed)
    centres = 6 * generator.normal(size=(clusters, dim))
    labels = generator.integers(0, clusters, number)
    return (centres[labels] + generator.normal(size=(number, dim))).astype("f4"), labels


def test_centres_are_the_means_of_what_they_were_given():
    features, _ = blobs(3000)
    kmeans = KMeans(5)
    kmeans.partial_fit(features[:1000])
    start = kmeans.cluster_centers.copy()
    counts, labels = kmeans.counts.copy(), kmeans.predict(features[1000:2000])
    kmeans.partial_fit(features[1000:2000])
    for k in range(5):
        mine = features[1000:2000][labels == k]
        expected = (counts[k] * start[k] + mine.sum(0)) / (counts[k] + len(mine))
        np.testing.assert_allclose(kmeans.cluster_centers[k], expected, atol=1e-4)


def test_the_sums_are_those_of_adding_row_by_row():
    features, _ = blobs(3000)
    kmeans = KMeans(6).fit_stream([features[:500]])
    batch, start, counts = features[500:], kmeans.cluster_centers.copy(), kmeans.counts.copy()
    labels = kmeans.predict(batch)
    sums = np.zeros(start.shape)
    np.add.at(sums, labels, batch)
    added = np.bincount(labels, minlength=6)[:, None]
    step = added / (counts[:, None] + added)
    kmeans.partial_fit(batch)
    expected = start + (step * (sums / added - start)).astype("f4")
    np.testing.assert_array_equal(kmeans.cluster_centers, expected)


def test_nearly_as_tight_as_lloyd():
    features, _ = blobs(6000)
    kmeans = KMeans(12)
    for _ in range(3):
        kmeans.reset_counts()
        kmeans.fit_stream(features[i : i + 1000] for i in range(0, 6000, 1000))
    inertia = ((features - kmeans.cluster_centers[kmeans.predict(features)]) ** 2).sum()
    best = ReferenceKMeans(12, n_init=10, random_state=0).fit(features).inertia_
    assert inertia < 1.35 * best


def test_prediction_is_the_nearest_centre():
    features, _ = blobs(500)
    kmeans = KMeans(7).fit_stream([features])
    distances = ((features[:, None] - kmeans.cluster_centers[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(kmeans.predict(features), distances.argmin(1))


def test_stopped_and_continued_is_never_stopped(tmp_path):
    features, _ = blobs(4000)
    batches = [features[i : i + 100] for i in range(0, 4000, 100)]
    whole = KMeans(12, seed=3, source="mfcc").fit_stream(batches)
    KMeans(12, seed=3, source="mfcc").fit_stream(batches[:17]).save_pretrained(tmp_path)
    resumed = KMeans.from_pretrained(tmp_path).fit_stream(batches[17:])
    np.testing.assert_array_equal(whole.cluster_centers, resumed.cluster_centers)
    assert resumed.source == "mfcc" and resumed.num_batches == 40
    assert not list(tmp_path.glob("*.tmp"))


def test_standardised_features_have_units_that_no_scale_changes(tmp_path):
    features, _ = blobs(3000)
    scales = 10.0 ** np.arange(-3, 5)
    scaled = (features * scales + 100 * scales).astype("f4")
    scaled[:, 0] = 7  # never changes
    features[:, 0] = 0
    first = KMeans(6)
    first.standardize_by(features)
    first.fit_stream(np.array_split(features, 5))
    second = KMeans(6)
    second.standardize_by(scaled)
    second.fit_stream(np.array_split(scaled, 5)[:2])
    second.save_pretrained(tmp_path)  # and goes on with what it was given
    second = KMeans.from_pretrained(tmp_path).fit_stream(np.array_split(scaled, 5)[2:])
    assert (first.predict(features) == second.predict(scaled)).mean() > 0.99
    np.testing.assert_allclose(second.scale[0, 1:], scaled[:, 1:].mean(0), rtol=1e-4)
    assert second.scale[1, 0] == 1
    with pytest.raises(ValueError, match="has centres already"):
        second.standardize_by(features)
    second.scale = second.scale[:, 1:]
    second.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"damaged \(got means and deviations of shape \(2, 7\)"):
        KMeans.from_pretrained(tmp_path)


def test_a_corpus_is_standardised_by_the_first_batch(tmp_path):
    sources = []
    for number in range(6):
        sources.append(tmp_path / f"{number}.wav")
        noise = np.random.default_rng(number).normal(size=16000)
        soundfile.write(sources[-1], 0.1 * noise, 16000)
    options = {"batch_frames": 100, "progress": False, "standardize": True}
    kmeans = fit_kmeans(KMeans(5), mfcc, sources, tmp_path / "k", **options)
    first = np.concatenate([mfcc(soundfile.read(path, dtype="f4")[0]) for path in sources[:3]])
    np.testing.assert_allclose(kmeans.scale, [first.mean(0), first.std(0)], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(KMeans.from_pretrained(tmp_path / "k").scale, kmeans.scale)
    others = [kmeans_units(mfcc, one).provenance["centres"] for one in (kmeans, unscaled(kmeans))]
    assert others[0] != others[1]


def unscaled(kmeans):
    other = KMeans(kmeans.num_clusters)
    other.cluster_centers = kmeans.cluster_centers
    return other


def test_empty_clusters_are_rescued():
    features, _ = blobs(2000, clusters=3)
    kmeans = KMeans(4)
    kmeans.partial_fit(features[:200])
    kmeans.cluster_centers[0] = 1e3
    kmeans.reset_counts()
    kmeans.fit_stream(features[i : i + 50] for i in range(200, 2000, 50))
    assert (np.bincount(kmeans.predict(features), minlength=4) > 0).all()


def test_a_cluster_without_frames_gets_ten_batches_also_after_forgetting():
    features, labels = blobs(3000, clusters=3)
    common, rare = features[labels != 0], features[labels == 0]
    kmeans = KMeans(3).fit_stream([features])
    kmeans.fit_stream([common[:50]] * 8)
    assert kmeans.counts.min() > 0
    alone = int(kmeans.predict(rare)[0])
    kept = kmeans.cluster_centers[alone].copy()
    kmeans.reset_counts()
    kmeans.idle[:] = 0
    kmeans.fit_stream([common[:50]] * 9)
    np.testing.assert_array_equal(kmeans.cluster_centers[alone], kept)
    kmeans.partial_fit(common[:50])
    assert np.abs(kmeans.cluster_centers[alone] - kept).max() > 1
    assert kmeans.idle[alone] == 0  # and has ten batches again


def test_a_kill_between_two_files_loses_nothing(tmp_path):
    features, _ = blobs(1000)
    kmeans = KMeans(5, seed=2, source="mfcc").fit_stream([features[:500]])
    kmeans.num_utterances = 7
    kmeans.save_pretrained(tmp_path)
    old = (tmp_path / "kmeans.json").read_text()
    kmeans.partial_fit(features[500:])
    kmeans.num_utterances = 11
    kmeans.save_pretrained(tmp_path)
    (tmp_path / "kmeans.json").write_text(old)  # as if killed before it was replaced
    again = KMeans.from_pretrained(tmp_path)
    assert (again.num_utterances, again.num_batches, again.seed) == (11, 2, 2)
    np.testing.assert_array_equal(again.cluster_centers, kmeans.cluster_centers)
    np.testing.assert_array_equal(again.idle, kmeans.idle)
    (tmp_path / "kmeans.json").unlink()
    assert KMeans.is_saved(tmp_path) and KMeans.from_pretrained(tmp_path).num_batches == 2
    assert not KMeans.is_saved(tmp_path / "nothing")


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 frames for 5 clusters"):
        KMeans(5).partial_fit(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="NaN"):
        KMeans(1).partial_fit(np.full((3, 2), np.nan))
    for bad in (np.nan, np.inf):
        features = np.zeros((3, 2), "f4")
        fitted = KMeans(2).fit_stream([np.eye(2)])
        features[1, 1] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            fitted.predict(features)
    with pytest.raises(ValueError, match=r"shape \(3, 4\), expected \(frames, 2\)"):
        fitted.predict(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no centres"):
        KMeans(2).predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="at least 1"):
        KMeans(0)
    with pytest.raises(FileNotFoundError, match=r"kmeans\.safetensors"):
        KMeans.from_pretrained(tmp_path)


def test_a_corpus_is_fitted_once_and_goes_on_where_it_stopped(tmp_path):
    generator = np.random.default_rng(0)
    sources = []
    for i in range(9):
        sources.append(tmp_path / f"{i}.wav")
        soundfile.write(sources[-1], 0.1 * generator.normal(size=16000 + 100 * i), 16000)
    (tmp_path / "4.wav").write_bytes(b"broken")
    options = {"batch_frames": 100, "save_every": 1, "progress": False}
    whole = fit_kmeans(KMeans(5), mfcc, sources, **options)
    frames = sum(num_frames(16000 + 100 * i) for i in range(9) if i != 4)
    assert whole.counts.sum() == frames and whole.num_utterances == 9

    def stopping(waveform):
        if len(waveform) == 16000 + 100 * 7:
            raise KeyboardInterrupt
        return mfcc(waveform)

    with pytest.raises(KeyboardInterrupt):
        fit_kmeans(KMeans(5), stopping, sources, tmp_path / "k", **options)
    stopped = KMeans.from_pretrained(tmp_path / "k")
    assert 0 < stopped.num_utterances <= 7
    resumed = fit_kmeans(stopped, mfcc, sources, tmp_path / "k", **options)
    np.testing.assert_array_equal(resumed.cluster_centers, whole.cluster_centers)
    np.testing.assert_array_equal(
        KMeans.from_pretrained(tmp_path / "k").cluster_centers, whole.cluster_centers
    )


def test_audio_without_a_path_is_named_by_its_id(tmp_path):
    soundfile.write(tmp_path / "good.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    good = (tmp_path / "good.wav").read_bytes()
    sources = [{"bytes": b"broken", "path": None}, {"bytes": b"bad", "path": None}, good]
    skipped = SkippedFiles()
    fit_kmeans(KMeans(3), mfcc, sources, progress=False, skipped=skipped, ids=["a", "b", "c"])
    assert list(skipped.reasons) == ["utterance a", "utterance b"]
    assert "utterance b could not be read" in skipped.reasons["utterance b"]


def test_bad_files_are_skipped_or_stop_a_strict_fit_and_mistakes_are_not_hidden(tmp_path):
    generator = np.random.default_rng(0)
    for name, samples in (("good", 16000), ("short", 399)):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * generator.normal(size=samples), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"broken")
    sources = [tmp_path / f"{name}.wav" for name in ("short", "broken", "good", "silent")]
    skipped = SkippedFiles()
    kmeans = fit_kmeans(KMeans(3), mfcc, sources, progress=False, skipped=skipped)
    assert kmeans.counts.sum() == num_frames(16000) and len(skipped) == 3
    for bad in ("short", "broken", "silent"):
        with pytest.raises(AudioError, match=bad):
            fit_kmeans(KMeans(3), mfcc, [tmp_path / f"{bad}.wav"], progress=False, strict=True)

    def wrong(waveform):
        raise ValueError("a mistake in the features")

    with pytest.raises(ValueError, match="a mistake"):
        fit_kmeans(KMeans(3), wrong, sources, progress=False)


def test_damaged_files_name_the_folder(tmp_path):
    KMeans(7).fit_stream([blobs(500)[0]]).save_pretrained(tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"the k-means in {tmp_path} is damaged"):
        KMeans.from_pretrained(tmp_path)


@pytest.mark.parametrize("what", ["nan", "clusters", "counts"])
def test_centres_that_are_no_numbers_or_too_few_are_refused(tmp_path, what):
    kmeans = KMeans(7).fit_stream([blobs(500)[0]])
    if what == "nan":
        kmeans.cluster_centers[3, 2] = np.nan
    elif what == "clusters":
        kmeans.num_clusters = 8
    else:
        kmeans.counts = kmeans.counts[:5]
    kmeans.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"the k-means in {tmp_path} is damaged"):
        KMeans.from_pretrained(tmp_path)
