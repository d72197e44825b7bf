import math

import numpy as np
import pytest

from hf_rspin.data.phone_times import frame_phones
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.evaluation.feature_store import write_store
from hf_rspin.evaluation.probes.excerpts import (
    Excerpt,
    cut,
    find_excerpts,
    frames_of,
)
from hf_rspin.evaluation.probes.frame_rate import frame_factor
from hf_rspin.evaluation.probes.units import labels_at

from .spoken_corpus import ToneFeatures, spoken_corpus

TEXT = "0.000:SIL 0.100:AA 0.205:B 0.205:CH 0.3125:D 0.440:SIL 0.500:AA"


def excerpts(*texts, speakers=("s",)):
    test = EvaluationSet([f"u{k}" for k in range(len(texts))], [{}] * len(texts), list(speakers))
    return find_excerpts(test, "alignment", texts)


def test_phones_have_neighbours_and_silence_and_nothing_are_none():
    found = excerpts(TEXT)
    assert [(e.label, e.context) for e in found] == [
        ("AA", ("SIL", "CH")), ("CH", ("AA", "D")), ("D", ("CH", "SIL")), ("AA", ("SIL", "SIL")),
    ]  # fmt: skip
    assert found[1].start == 0.205 and found[1].end == 0.3125 and found[-1].end == math.inf
    two = excerpts("", TEXT, TEXT, speakers=("s", None, "t"))
    assert {e.speaker for e in two} == {"t"} and {e.utterance for e in two} == {2}
    with pytest.raises(ValueError, match="column alignment of u0: alignment entry 'AA'"):
        excerpts("0.0:SIL AA")


@pytest.mark.parametrize("factor", [1, 2])
def test_frames_are_those_that_have_the_label(factor):
    samples = 16000 * 6 // 10
    labels = np.array(frame_phones(TEXT, samples))
    frames = len(labels) // factor
    at = labels_at(labels, frames) if factor > 1 else labels
    named = np.full(frames, "SIL", dtype="<U3")
    for excerpt in excerpts(TEXT):
        named[frames_of(excerpt, frames, factor)] = excerpt.label
    assert named.tolist() == at.tolist()


def test_an_excerpt_has_a_frame_however_short_it_is_and_wherever():
    for start, end, expected in ((0.051, 0.054, 2), (0.0, 0.001, 0), (7.0, 8.0, 9)):
        excerpt = Excerpt(0, "s", start, end, "AA", ("SIL", "SIL"))
        assert frames_of(excerpt, 10) == slice(expected, expected + 1)
    whole = Excerpt(0, "s", 0.0, math.inf, "AA", ("SIL", "SIL"))
    assert frames_of(whole, 10, 2) == slice(0, 10)


def test_excerpts_are_cut_from_their_utterances(tmp_path):
    test = spoken_corpus(4)
    for factor in (1, 2):
        features = ToneFeatures(factor)
        values = [features(test.read(index)) for index in range(len(test))]
        store = write_store(tmp_path / str(factor), values, "test")
        assert frame_factor(test, store) == factor
        found = find_excerpts(test, "alignment", test.alignments)
        tokens = cut(store, 0, found[::-1], factor)[::-1]
        assert {len(token) for token in tokens} == ({4} if factor == 1 else {2})
        best = [list(["AA", "B", "CH", "D"])[token.mean(0).argmax()] for token in tokens]
        assert best == [excerpt.label for excerpt in found]
