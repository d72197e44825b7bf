import datasets
import pytest

from hf_rspin.training.provenance import check_made_from, corpus_key

RESULTS = ("units", "kmeans")


def test_results_are_taken_again_only_where_nothing_changed(tmp_path):
    folder = tmp_path / "labels"
    check_made_from(folder, {"model": "a", "layer": 3}, RESULTS)
    check_made_from(folder, {"model": "b", "layer": 3}, RESULTS)  # nothing was made yet
    (folder / "kmeans").mkdir()
    check_made_from(folder, {"model": "b", "layer": 3}, RESULTS)
    with pytest.raises(ValueError, match=r"holds kmeans made from model b \(now c\): name another"):
        check_made_from(folder, {"model": "c", "layer": 3}, RESULTS)
    with pytest.raises(ValueError, match=r"layer 3 \(now None\)"):
        check_made_from(folder, {"model": "b"}, RESULTS)


def test_results_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "units").mkdir()
    with pytest.raises(ValueError, match="no made_from.json says"):
        check_made_from(tmp_path, {"model": "a"}, RESULTS)


def test_a_corpus_is_known_by_its_ids_and_durations():
    def key(ids, seconds):
        return corpus_key(datasets.Dataset.from_dict({"id": ids, "duration": seconds}))

    first = key(["a", "b"], [1.0, 2.0])
    assert first["utterances"] == 2
    assert first == key(["a", "b"], [1.0, 2.0])
    for other in (key(["a", "c"], [1.0, 2.0]), key(["a", "b"], [1.0, 2.5]), key(["a"], [1.0])):
        assert other["corpus"] != first["corpus"]
