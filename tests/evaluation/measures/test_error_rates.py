import jiwer
import numpy as np
import pytest

from hf_rspin.evaluation.measures.error_rates import count_errors
from hf_rspin.evaluation.metrics import CharacterErrorRate, PhoneErrorRate, WordErrorRate


def edit_distance(reference, prediction):
    table = np.zeros((len(reference) + 1, len(prediction) + 1), dtype=int)
    table[:, 0], table[0] = range(len(reference) + 1), range(len(prediction) + 1)
    for i, a in enumerate(reference, 1):
        for j, b in enumerate(prediction, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
    return table[-1, -1]


def random_sentences(rng, count, shortest=0):
    return [" ".join(rng.choice(list("abcd"), rng.integers(shortest, 9))) for _ in range(count)]


def test_errors_equal_a_plain_edit_distance_per_utterance():
    rng = np.random.default_rng(0)
    references, predictions = random_sentences(rng, 60), random_sentences(rng, 60)
    counts = count_errors(references, predictions)
    expected = [
        edit_distance(r.split(), p.split()) for r, p in zip(references, predictions, strict=True)
    ]
    np.testing.assert_array_equal(counts.errors, expected)
    np.testing.assert_array_equal(counts.lengths, [len(r.split()) for r in references])


def test_the_rate_is_of_the_corpus_not_a_mean_of_utterances():
    counts = count_errors(["a", "a b c"], ["b", "a b c"])
    assert counts.rate == pytest.approx(1 / 4)


def test_multi_letter_phones_are_one_token_each_and_blanks_may_repeat():
    counts = count_errors(["AA1  B \t CH"], [" AA1 B SH "])
    assert (counts.errors.tolist(), counts.lengths.tolist()) == ([1], [3])


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="2 references and 1 predictions"):
        count_errors(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no token"):
        count_errors(["", " "], ["a", ""])


@pytest.mark.parametrize(("metric", "key"), [(WordErrorRate, "wer"), (PhoneErrorRate, "per")])
def test_metrics_work_offline_and_in_batches(metric, key):
    rng = np.random.default_rng(1)
    references, predictions = random_sentences(rng, 20, 1), random_sentences(rng, 20)
    meter = metric()
    meter.add_batch(references=references[:12], predictions=predictions[:12])
    meter.add_batch(references=references[12:], predictions=predictions[12:])
    assert meter.compute()[key] == pytest.approx(jiwer.wer(references, predictions))


def test_character_error_rate_counts_characters():
    found = CharacterErrorRate().compute(references=["abcd"], predictions=["abd"])
    assert found["cer"] == pytest.approx(1 / 4)
