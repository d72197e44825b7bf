"""Acoustic pieces against a naive byte-pair encoding that recounts everything at every merge."""

import json
import logging
from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from hf_rspin.units import AcousticPieces


def naive_merge(sequence, pair, new):
    out, at = [], 0
    while at < len(sequence):
        found = tuple(sequence[at : at + 2]) == pair
        out.append(new if found else sequence[at])
        at += 2 if found else 1
    return out


def naive_counts(sequences):
    """Count pairs from the left; an occurrence that overlaps the last counted one is left out."""
    counts = Counter()
    for sequence in sequences:
        last = {}
        for at, pair in enumerate(zip(sequence, sequence[1:], strict=False)):
            if last.get(pair, -2) != at - 1 or pair[0] != pair[1]:
                counts[pair] += 1
                last[pair] = at
    return counts


def naive_train(sequences, vocab_size):
    """Return units, merges, and the encoded corpus in piece ids."""
    runs = [[int(unit) for unit, _ in groupby(sequence)] for sequence in sequences]
    units = sorted({unit for sequence in runs for unit in sequence})
    encoded = [[units.index(unit) for unit in sequence] for sequence in runs]
    merges = []
    while len(units) + len(merges) < vocab_size:
        counts = naive_counts(encoded)
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        new = len(units) + len(merges)
        encoded = [naive_merge(sequence, best, new) for sequence in encoded]
        merges.append(best)
    return units, merges, encoded


def naive_labels(sequence, encoded, units, merges, used):
    """Repeat each piece over the frames of its units."""
    sizes = [1] * len(units)
    for left, right in merges:
        sizes.append(sizes[left] + sizes[right])
    lengths, out = [len(list(run)) for _, run in groupby(sequence)], []
    for piece in encoded:
        frames = sum(lengths.pop(0) for _ in range(sizes[piece]))
        out += [used.index(piece)] * frames
    return out


def random_corpus(seed):
    """Sequences of 2 to 6 units, some random, some made of a repeated word (deep merges)."""
    rng = np.random.default_rng(seed)
    num_units = int(rng.integers(2, 7))
    corpus = [3 * rng.integers(0, num_units, rng.integers(0, 50)) for _ in range(5)]
    for _ in range(seed % 3):
        word = 3 * rng.integers(0, num_units, rng.integers(1, 5))
        corpus.append(np.repeat(np.tile(word, rng.integers(1, 12)), rng.integers(1, 4)))
    return corpus, num_units + int(rng.integers(0, 40))


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_naive_reference(seed):
    corpus, vocab_size = random_corpus(seed)
    vocab_size = max(vocab_size, len({u for sequence in corpus for u in sequence}))
    units, merges, encoded = naive_train(corpus, vocab_size)
    pieces = AcousticPieces.train(corpus, vocab_size, progress=False)
    assert pieces.units.tolist() == units
    assert [tuple(merge) for merge in pieces.merges.tolist()] == merges
    used = sorted({piece for sequence in encoded for piece in sequence})
    assert pieces.used.tolist() == used and pieces.num_labels == len(used)
    for sequence, expected in zip(corpus, encoded, strict=True):
        labels = pieces.encode(sequence)
        assert labels.dtype == np.int64
        assert labels.tolist() == naive_labels(sequence, expected, units, merges, used)


@pytest.mark.parametrize("seed", range(40))
def test_new_utterances_are_encoded_by_the_merges_in_training_order(seed):
    corpus, vocab_size = random_corpus(seed)
    pieces = AcousticPieces.train(corpus + [np.arange(0, 21, 3)], vocab_size + 7, progress=False)
    everything = AcousticPieces(pieces.units, pieces.merges, np.arange(pieces.vocab_size))
    new = np.random.default_rng(1000 + seed).choice(pieces.units, 80)
    expected = [pieces.units.tolist().index(unit) for unit, _ in groupby(new)]
    for merge, pair in enumerate(pieces.merges.tolist(), start=len(pieces.units)):
        expected = naive_merge(expected, tuple(pair), merge)
    units, merges = pieces.units.tolist(), [tuple(pair) for pair in pieces.merges.tolist()]
    frames = naive_labels(new, expected, units, merges, list(range(pieces.vocab_size)))
    assert everything.encode(new).tolist() == frames


def test_the_example_of_the_paper():
    # "a a b b a" with pieces a, b, aa, bb, aabb (A.7): letters that repeat are distinct units here.
    pieces = AcousticPieces([0, 1, 2, 3], [[0, 1], [2, 3], [4, 5]], [0, 6])
    assert pieces.encode([0, 1, 2, 3, 0]).tolist() == [1, 1, 1, 1, 0]
    assert pieces.label_units(1) == (0, 1, 2, 3)


def test_overlapping_pairs_count_without_overlap():
    # "abababab" x 1, then "cd" three times: ab 4, then (ab, ab) counts 2 and not 3, cd counts 3.
    corpus = [[0, 1, 0, 1, 0, 1, 0, 1], [2, 3, 4, 2, 3, 5, 2, 3]]
    pieces = AcousticPieces.train(corpus, 9, progress=False)
    assert pieces.merges.tolist() == [[0, 1], [2, 3], [6, 6]]


def test_never_merges_across_utterances():
    pieces = AcousticPieces.train([[0, 1], [2, 0], [1, 2]] * 2, 6, progress=False)
    assert sorted(map(tuple, pieces.merges.tolist())) == [(0, 1), (1, 2), (2, 0)]
    apart = AcousticPieces.train([[0], [1]] * 10, 50, progress=False)
    assert len(apart.merges) == 0 and apart.num_labels == 2


def test_equal_counts_go_to_the_smallest_pair():
    corpus = [[4, 3], [1, 9], [1, 2], [4, 3], [1, 9], [1, 2]]
    pieces = AcousticPieces.train(corpus, 8, progress=False)
    assert pieces.units.tolist() == [1, 2, 3, 4, 9]
    assert pieces.merges.tolist() == [[0, 1], [0, 4], [3, 2]]


def test_dropped_pieces_fall_apart_and_unknown_units_are_ignored(caplog):
    # In training 10 11 12 is always whole; 11 12 was an intermediate piece; 20 stands alone.
    pieces = AcousticPieces([10, 11, 12, 20], [[1, 2], [0, 4], [3, 5]], [0, 2, 3, 5])
    with caplog.at_level(logging.WARNING, "hf_rspin"):
        labels = pieces.encode([20, 11, 11, 12, 99, 99, 10, 11, 12, 12])
        pieces.encode([99])
    # 11 12 falls apart into 11, which has no label, and 12.
    assert labels.tolist() == [2, -100, -100, 1, -100, -100, 3, 3, 3, 3]
    assert pieces.encode([20, 20, 10, 11, 12]).tolist() == [2, 2, 3, 3, 3]  # (20, all) taken apart
    assert len(caplog.records) == 1


def test_the_training_corpus_uses_every_label_and_ignores_no_frame():
    rng = np.random.default_rng(5)
    corpus = [np.repeat(rng.integers(0, 30, 60), rng.integers(1, 5, 60)) for _ in range(40)]
    pieces = AcousticPieces.train(iter(corpus), 200, progress=False)
    assert pieces.vocab_size == 200
    labels = np.concatenate([pieces.encode(units) for units in corpus])
    assert len(labels) == sum(map(len, corpus))
    assert np.unique(labels).tolist() == list(range(pieces.num_labels))


def test_saved_and_loaded_pieces_are_the_same(tmp_path):
    corpus, _ = random_corpus(2)
    pieces = AcousticPieces.train(corpus, 20, progress=False)
    pieces.save_pretrained(tmp_path / "pieces")
    pieces.save_pretrained(tmp_path / "pieces")
    assert [file.name for file in (tmp_path / "pieces").iterdir()] == ["acoustic_pieces.json"]
    loaded = AcousticPieces.from_pretrained(tmp_path / "pieces")
    assert (loaded.vocab_size, loaded.num_labels) == (pieces.vocab_size, pieces.num_labels)
    for sequence in corpus:
        np.testing.assert_array_equal(loaded.encode(sequence), pieces.encode(sequence))


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_pretrained"):
        AcousticPieces.from_pretrained(tmp_path)
    file = tmp_path / "acoustic_pieces.json"
    content = {"format": 1, "units": [0, 1], "merges": [[0, 2]], "used": [0]}
    for text in ('{"format": 1', json.dumps(content), json.dumps({**content, "format": 2})):
        file.write_text(text)
        with pytest.raises(ValueError, match="acoustic_pieces.json"):
            AcousticPieces.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merges": [[0, 0], *([k, k] for k in range(2, 101))]}, "piece of 2097152 units"),
        ({"units": [0, 10**12]}, "unit 1000000000000; expected ids below 16777216"),
        ({"units": [0, 10**30]}, "too large|too big"),
        ({"merges": [[0, 10**12]]}, "acoustic_pieces.json"),
    ],
)
def test_files_that_would_take_all_memory_are_refused(tmp_path, changes, message):
    content = {"format": 1, "units": [0, 1], "merges": [[0, 1]], "used": [0]}
    (tmp_path / "acoustic_pieces.json").write_text(json.dumps({**content, **changes}))
    with pytest.raises(ValueError, match=message):
        AcousticPieces.from_pretrained(tmp_path)


def test_stops_with_a_warning_when_pairs_run_out(caplog):
    pieces = AcousticPieces.train([[0, 1, 2], [0, 1]], 100, progress=False)
    assert pieces.merges.tolist() == [[0, 1]]
    assert "Learned 4 of the 100 pieces" in caplog.text


@pytest.mark.parametrize(
    ("sequences", "vocab_size", "message"),
    [
        ([[0, 1, 2]], 2, "3 distinct units"),
        ([], 10, "no frames"),
        ([[], []], 10, "no frames"),
        ([[0, -1]], 10, "padding"),
        ([[0.0, 1.0]], 10, "float64"),
        ([[[0, 1]]], 10, r"\(1, 2\)"),
        ([0, 1, 2], 10, "one sequence per utterance"),
    ],
)
def test_wrong_input_is_refused(sequences, vocab_size, message):
    with pytest.raises(ValueError, match=message):
        AcousticPieces.train(sequences, vocab_size, progress=False)


def test_empty_and_tiny_utterances():
    pieces = AcousticPieces.train([[0, 1, 0, 1], [], [1]], 3, progress=False)
    assert pieces.encode([]).tolist() == [] and pieces.encode(np.zeros(0)).tolist() == []
    assert pieces.encode(np.array([1], np.uint8)).tolist() == [0]


def test_nested_json_is_refused(tmp_path):
    (tmp_path / "acoustic_pieces.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="holds no acoustic pieces"):
        AcousticPieces.from_pretrained(tmp_path)
