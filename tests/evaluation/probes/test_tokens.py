import math

import numpy as np
import pytest

from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probes.excerpts import Excerpt
from hf_rspin.evaluation.probes.tokens import (
    draw_tokens,
    most_frequent,
    phones_of,
    places_of,
    pool,
    token_frames,
    words_of,
)

from .spoken_corpus import ToneFeatures, spoken_corpus


def token(start, end, label="AA", utterance=0):
    return Excerpt(utterance, "", start, end, label, ("SIL", "SIL"))


@pytest.mark.parametrize(
    ("start", "end", "whole", "middle"),
    [
        (0.05, 0.14, (2, 7), (4, 5)),  # 5 frames: 2 less on each side
        (0.04, 0.10, (2, 5), (3, 4)),
        (0.04, 0.12, (2, 6), (3, 5)),
        (0.04, 0.08, (2, 4), (3, 4)),  # nothing is left of 2 frames: one
        (0.041, 0.042, (2, 3), (2, 3)),
        (0.30, math.inf, (15, 20), (17, 18)),
        (0.39, 0.90, (19, 20), (19, 20)),  # the alignment goes on after the audio
        (0.50, 0.60, (19, 20), (19, 20)),
    ],
)
def test_frames_of_a_token_and_of_its_middle_third(start, end, whole, middle):
    assert token_frames(token(start, end), 20) == slice(*whole)
    assert token_frames(token(start, end), 20, middle=True) == slice(*middle)


def test_slower_frames_are_fewer():
    assert token_frames(token(0.05, 0.14), 10, factor=2) == slice(1, 4)


@pytest.mark.parametrize("factor", [1, 2])
def test_pooling_is_the_mean_of_the_frames(factor, tmp_path):
    test, features = spoken_corpus(4), ToneFeatures(factor)
    values = [features(test.read(index)).numpy() for index in range(4)]
    store = write_store(tmp_path, map(features, map(test.read, range(4))), "test")
    tokens = phones_of(test)
    rng = np.random.default_rng(0)
    tokens = [tokens[i] for i in rng.permutation(len(tokens))]  # in any order
    for middle in (False, True):
        places = places_of(tokens, range(4), store, factor, middle)
        pooled = pool(store, 1, places)
        for one, row in zip(tokens, pooled, strict=True):
            frames = values[one.utterance][1]
            mine = token_frames(one, len(frames), factor, middle)
            np.testing.assert_allclose(row, frames[mine].mean(0), atol=5e-3)  # kept in float16


def test_rows_say_where_an_utterance_is_in_the_store(tmp_path):
    test, features = spoken_corpus(3), ToneFeatures()
    store = write_store(tmp_path, map(features, map(test.read, (2, 0))), "test")
    places = places_of([token(0.1, 0.18, utterance=2)], [1, None, 0], store, 1, False)
    assert places.tolist() == [[0, 5, 9]]


def test_what_is_no_phone_and_no_word_is_left_out_and_case_does_not_count():
    phones = "0.0:SIL 0.1:AA 0.2:spn 0.3:B 0.3:CH"
    words = "0.0:SIL 0.1:The 0.2:<unk> 0.3:the"
    test = EvaluationSet(["u"], [{}], alignments=[phones], word_alignments=[words])
    assert [one.label for one in phones_of(test)] == ["AA", "CH"]  # B has no length
    assert [one.label for one in words_of(test)] == ["the", "the"]


def test_draws_are_seeded_and_bounded():
    tokens = [token(k, k + 1, label) for k, label in enumerate("abaabca")]
    drawn = draw_tokens(tokens, 2, seed=0)
    assert [sum(t.label == label for t in drawn) for label in "abc"] == [2, 2, 1]
    assert drawn == draw_tokens(tokens, 2, seed=0) == sorted(drawn, key=lambda t: t.start)
    assert any(draw_tokens(tokens, 2, seed=s) != drawn for s in range(1, 9))
    assert draw_tokens(tokens, 9, seed=0) == tokens
    assert most_frequent(tokens, 2) == ["a", "b"]
