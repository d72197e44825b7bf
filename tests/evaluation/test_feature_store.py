import time

import numpy as np
import pytest
import torch

from hf_rspin.evaluation.feature_store import (
    FeatureError,
    FeatureStore,
    StoreWriter,
    open_store,
    write_store,
)
from hf_rspin.evaluation.feature_stream import stream_features


def make_features(count=5, layers=3, dim=4):
    rng = np.random.default_rng(0)
    shapes = [(layers, int(rng.integers(2, 9)), dim) for _ in range(count)]
    return [torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


class SlowFrontEnd:
    name, num_layers, dim = "slow", 1, 1

    def __call__(self, waveform):
        time.sleep(0.002 * (waveform[0] % 3))
        return torch.tensor(waveform[0], dtype=torch.float32).view(1, 1, 1)

    def fingerprint(self):
        return "slow"


def test_features_come_back_in_half_precision(tmp_path):
    features = make_features()
    store = write_store(tmp_path / "store", iter(features), "key")
    assert len(store) == 5
    for index, expected in enumerate(features):
        torch.testing.assert_close(store[index], expected, atol=2e-3, rtol=2e-3)
    batch, lengths = store.gather([3, 0])
    assert lengths == [features[3].shape[1], features[0].shape[1]]
    torch.testing.assert_close(
        batch, torch.cat([features[3], features[0]], dim=1), atol=2e-3, rtol=2e-3
    )
    for indices in ([0], [1, 2, 4], [3]):
        reused, _ = store.gather(indices, reuse=True)
        torch.testing.assert_close(reused, store.gather(indices)[0], rtol=0, atol=0)
    norms = torch.cat(features, dim=1).norm(dim=-1).mean(1)
    torch.testing.assert_close(store.layer_norms, norms)


def test_an_interrupted_or_other_store_is_not_opened(tmp_path):
    def interrupted():
        yield from make_features(2)
        raise KeyboardInterrupt

    write_store(tmp_path, iter(make_features()), "first")
    assert open_store(tmp_path, "first") is not None
    assert open_store(tmp_path, "second") is None
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path, interrupted(), "first")
    assert open_store(tmp_path, "first") is None
    with pytest.raises(FileNotFoundError, match="no finished features"):
        FeatureStore(tmp_path)


def test_single_precision_keeps_every_bit_and_layers_are_read_alone(tmp_path):
    features = make_features()
    store = write_store(tmp_path, iter(features), "key", torch.float32)
    for index, expected in enumerate(features):
        torch.testing.assert_close(store[index], expected, rtol=0, atol=0)
        torch.testing.assert_close(store.layer(index, 2), expected[2], rtol=0, atol=0)
    means = np.stack([values.mean(1).numpy() for values in features])
    np.testing.assert_array_equal(store.means(), means)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")  # a file of numpy's own
    assert mapped.shape == (sum(store.lengths), 3, 4) and mapped.dtype == np.float32


def test_values_beyond_half_precision_are_refused(tmp_path):
    with pytest.raises(ValueError, match="utterance 0"):
        write_store(tmp_path, iter([torch.full((1, 2, 3), 1e6)]), "key")
    with pytest.raises(ValueError, match="no utterance"):
        write_store(tmp_path, iter([]), "key")


@pytest.mark.parametrize("workers", [1, 3])
def test_streaming_keeps_the_order_at_any_number_of_workers(workers):
    found = stream_features(SlowFrontEnd(), lambda i: np.array([i]), 20, workers)
    assert [int(values) for values in found] == list(range(20))


def test_an_error_while_reading_reaches_the_caller():
    def read(index):
        raise ValueError(f"broken {index}")

    with pytest.raises(ValueError, match="broken 0"):
        list(stream_features(SlowFrontEnd(), read, 4, 2))


def test_a_full_disk_and_a_file_in_the_way_are_said_in_a_sentence(tmp_path):
    message = "cannot be written to .*store .No space left"
    for count in (1, 50):  # what stays in memory until the file is closed, and what does not
        with pytest.raises(FeatureError, match=message):
            with StoreWriter(tmp_path / "store", "key") as writer:
                writer._file.close()
                writer._file = open("/dev/full", "wb")  # every write fails
                for _ in range(count):
                    writer.add(torch.ones(1, 10, 4) if count == 1 else torch.ones(3, 100, 40))
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureError, match="name an output folder that can be written to"):
        write_store(tmp_path / "file" / "features", iter(make_features()), "key")
