"""Published k-means: real files of joblib and pickle, read without running them."""

import gzip
import os
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.cluster import MiniBatchKMeans
from sklearn.mixture import GaussianMixture
from transformers import HubertConfig, HubertModel

from hf_rspin.units import KMeans, UnitTokenizer
from hf_rspin.units.kmeans_files import read_centres


@pytest.fixture(scope="module")
def features():
    generator = np.random.default_rng(0)
    return (generator.normal(size=(300, 32)) + 4 * generator.integers(0, 5, (300, 1))).astype("f4")


@pytest.fixture(scope="module")
def fitted(features):
    return MiniBatchKMeans(7, random_state=np.random.RandomState(0), n_init=1).fit(features)


WRITERS = {
    "joblib": lambda model, path: joblib.dump(model, path),
    "zlib": lambda model, path: joblib.dump(model, path, compress=3),
    "gzip": lambda model, path: joblib.dump(model, path, compress=("gzip", 3)),
    "joblib_2": lambda model, path: joblib.dump(model, path, protocol=2),
    **{
        f"pickle_{protocol}": lambda model, path, protocol=protocol: path.write_bytes(
            pickle.dumps(model, protocol)
        )
        for protocol in (2, 3, 4, 5)
    },
    "npy": lambda model, path: np.save(open(path, "wb"), model.cluster_centers_),
    "npz": lambda model, path: np.savez(
        open(path, "wb"), cluster_centers_=model.cluster_centers_, counts=np.zeros(7)
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_centres_of_real_files_tell_the_units_of_scikit_learn(writer, fitted, features, tmp_path):
    path = tmp_path / "km.bin"
    WRITERS[writer](fitted, path)
    kmeans = KMeans.from_file(path, "layer 1")
    np.testing.assert_array_equal(kmeans.cluster_centers, fitted.cluster_centers_)
    np.testing.assert_array_equal(kmeans.predict(features), fitted.predict(features))
    kmeans.save_pretrained(tmp_path / "saved")
    again = KMeans.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.cluster_centers, kmeans.cluster_centers)
    assert again.source == "layer 1" and again.num_clusters == 7


@pytest.mark.parametrize("kind", ["f8", ">f4", "f2", "F"])
@pytest.mark.parametrize("writer", ["joblib", "pickle_2", "pickle_5"])
def test_other_arrays(kind, writer, tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    stored = np.asfortranarray(values) if kind == "F" else values.astype(kind)
    WRITERS[writer](stored, tmp_path / "km")
    np.testing.assert_array_equal(read_centres(tmp_path / "km"), values)
    WRITERS[writer]({"cluster_centers_": stored, "other": [1, "x"]}, tmp_path / "km")
    np.testing.assert_array_equal(read_centres(tmp_path / "km"), values)


def test_an_older_scikit_learn_in_float64(features, tmp_path):
    model = SklearnKMeans(3, n_init=1).fit(features.astype("f8"))
    data = pickle.dumps(model, 2).replace(b"sklearn.cluster._kmeans", b"sklearn.cluster.k_means_")
    (tmp_path / "km").write_bytes(data)
    np.testing.assert_allclose(read_centres(tmp_path / "km"), model.cluster_centers_, rtol=1e-6)


class Bomb:
    """Touches a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", ["joblib", "zlib", "pickle_2", "pickle_5"])
def test_nothing_in_a_file_is_run(writer, tmp_path):
    touched, path = tmp_path / "touched", tmp_path / "km"
    WRITERS[writer]({"a": Bomb(touched)}, path)
    with pytest.raises(ValueError, match="without cluster_centers_; it names posix.system"):
        read_centres(path)
    WRITERS[writer]({"a": Bomb(touched), "cluster_centers_": np.ones((2, 3))}, path)
    assert read_centres(path).shape == (2, 3) and not touched.exists()
    joblib.load(path) if "pickle" not in writer else pickle.loads(path.read_bytes())
    assert touched.exists()  # the file is what it is meant to be


def test_what_is_no_kmeans_is_refused_with_the_reason(features, tmp_path):
    path = tmp_path / "km"
    for content, reason in [
        (b"", "begins like none"),
        (b"<html>", "begins like none"),
        (gzip.compress(b"not a pickle"), "damaged"),
        (b"\x78\x9cxxxx", "damaged"),
        (pickle.dumps(np.array([["a", object()]])), "something else than numbers"),
        (pickle.dumps(np.ones(5)), r"float64 of shape \(5,\)"),
        (pickle.dumps(np.full((2, 2), np.nan)), "NaN or infinite"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            read_centres(path)
    joblib.dump(GaussianMixture(2).fit(features), path)
    with pytest.raises(ValueError, match="pickle of sklearn.mixture.*without cluster_centers_"):
        read_centres(path)
    np.savez(open(path, "wb"), a=np.ones((2, 2)), b=np.ones((2, 2)))
    with pytest.raises(ValueError, match="archive of a, b"):
        read_centres(path)
    with pytest.raises(ValueError, match="does not exist"):
        KMeans.from_file(tmp_path / "none")


def test_a_damaged_archive_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", centres=np.ones((3, 4)))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:60])
    with pytest.raises(ValueError, match="b.npz is no k-means that can be read here"):
        KMeans.from_file(tmp_path / "b.npz")


@pytest.mark.parametrize("writer", ["joblib", "pickle_4", "zlib", "npy"])
def test_a_file_cut_off_anywhere_is_refused(writer, fitted, tmp_path):
    path = tmp_path / "km"
    WRITERS[writer](fitted, path)
    whole = path.read_bytes()
    for stop in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:stop])
        with pytest.raises(ValueError, match="no k-means that can be read"):
            read_centres(path)


def test_a_tokenizer_takes_a_file(fitted, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 32, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16,
             "num_conv_pos_embedding_groups": 2}  # fmt: skip
    HubertModel(HubertConfig(**sizes)).save_pretrained(tmp_path / "encoder")
    joblib.dump(fitted, tmp_path / "km.bin")
    with pytest.raises(ValueError, match="pass layer, such as 9"):
        UnitTokenizer.from_pretrained(tmp_path / "encoder", kmeans=tmp_path / "km.bin")
    given = UnitTokenizer.from_pretrained(
        tmp_path / "encoder", kmeans=KMeans.from_file(tmp_path / "km.bin"), layer=1
    )
    found = UnitTokenizer.from_pretrained(
        tmp_path / "encoder", kmeans=str(tmp_path / "km.bin"), layer=1
    )
    waveform = np.random.default_rng(0).normal(size=9000).astype("f4") * 0.1
    np.testing.assert_array_equal(found(waveform).units, given(waveform).units)
    assert found.vocab_size == 7 and found.units == "layer"
