import numpy as np
import pytest

from hf_rspin.evaluation import Evaluation, EvaluationSet
from hf_rspin.evaluation.probes.query_by_example import QueryByExample
from hf_rspin.evaluation.probes.retrieval import WordRetrieval

from .spoken_corpus import WORDS, ToneFeatures, measured, spoken_corpus


@pytest.mark.parametrize("factor", [1, 2])
def test_words_are_found_in_the_layer_that_knows_phones(factor, tmp_path):
    probe = QueryByExample()
    found = measured(probe, spoken_corpus(48), tmp_path, factor)
    values = found["qbe_mtwv_layer"]
    assert values[0] == pytest.approx(1) and 0.4 > max(values[1:]) and min(values) >= 0.0
    assert found["qbe_mtwv"] == values[:1] and probe.details()["layer"] == 0
    assert (probe.rows()[0].low, probe.rows()[0].high) == pytest.approx((1, 1))


def test_queries_are_of_other_speakers_than_documents_that_count(tmp_path):
    test, probe = spoken_corpus(48), QueryByExample(num_words=5, max_documents=20)
    measured(probe, test, tmp_path)
    search, details = probe._search, probe.details()
    assert len(search.documents) == details["documents"] == 20
    assert search.relevant.shape == (len(search.queries), 20) == (10, 20)
    for query, relevant, trials in zip(
        search.queries, search.relevant, search.trials, strict=True
    ):
        texts = [test.word_alignments[i] for i in search.documents]
        assert relevant.tolist() == [query.label in text for text in texts]
        assert trials.tolist() == [test.speakers[i] != query.speaker for i in search.documents]
        assert (relevant & trials).any()
    words = {*details["words"], *details["words_to_choose_layer"]}
    assert len(details["words"]) == 2 and len(words) == 5
    assert words <= {word.lower() for word in WORDS} - {"go"}


def test_takes_of_words_are_ranked_by_layer(tmp_path):
    probe = WordRetrieval(takes_per_word=3)
    found = measured(probe, spoken_corpus(48), tmp_path)
    assert found["retrieval_map"][0] == pytest.approx(1)
    assert found["retrieval_precision_at_1"][0] == 1.0
    chance = probe.details()["chance"]
    assert 0.1 < chance < 0.25
    assert max(found["retrieval_map"][1:]) < 0.5
    speakers = {}
    for take in probe._takes:
        speakers.setdefault(take.label, set()).add(take.speaker)
    assert {len(found) for found in speakers.values()} == {3}


def test_a_run_writes_both(tmp_path):
    probes = [QueryByExample(), WordRetrieval(distance="cosine")]
    evaluation = Evaluation(tmp_path, spoken_corpus(48), [], probes, progress=False)
    evaluation.run(ToneFeatures())
    by_probe = {cell.probe: cell for cell in evaluation.cells()}
    assert [row.layer for row in by_probe["qbe"].rows] == [None, 0, 1, 2]
    assert len(by_probe["retrieval"].rows) == 6
    assert by_probe["retrieval"].key["settings"]["distance"] == "cosine"


@pytest.mark.parametrize("kind", [QueryByExample, WordRetrieval])
def test_what_is_missing_is_said(kind):
    test = spoken_corpus(48)
    assert kind().reason_to_skip(test, None) is None
    without = EvaluationSet(test.ids, test.audio, test.speakers)
    assert "needs word times and speakers" in kind().reason_to_skip(without, None)
    long = kind(min_letters=6).reason_to_skip(test, None)
    assert "0 words of 6 letters or more are spoken by 3 speakers" in long
    wrong = EvaluationSet(["u"], [{}], ["s"], word_alignments=["0.0:SIL HELLO"])
    with pytest.raises(ValueError, match="column word_alignment of u: alignment entry 'HELLO'"):
        kind().reason_to_skip(wrong, None)
    with pytest.raises(ValueError, match="got min_speakers 1; expected 2 or more"):
        kind(min_speakers=1)
    with pytest.raises(ValueError, match="got distance 'l2'; expected exp_cosine or cosine"):
        kind(distance="l2")


def test_choices_depend_on_the_seed_only(tmp_path):
    test = spoken_corpus(48)
    chosen = []
    for seed in (0, 0, 1):
        probe = QueryByExample(seed=seed)
        measured(probe, test, tmp_path)
        chosen.append(probe._search)
    assert chosen[0].queries == chosen[1].queries != chosen[2].queries
    assert np.array_equal(chosen[0].relevant, chosen[1].relevant)
