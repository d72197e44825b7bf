import itertools
from collections import defaultdict

import numpy as np
import pytest

from hf_rspin.evaluation.measures.abx import abx_error, abx_interval, average_cells, cell_errors
from hf_rspin.evaluation.measures.abx_cells import abx_cells, tokens_of


def distance(one, other):
    """Try every path of steps that advance one token, the other or both."""
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    costs = np.arccos(np.clip(one @ other.T, -1, 1)) / np.pi
    last = (len(one) - 1, len(other) - 1)

    def paths(i, j):
        if (i, j) == last:
            yield [costs[i, j]]
        for k, m in ((i + 1, j + 1), (i, j + 1), (i + 1, j)):
            if k <= last[0] and m <= last[1]:
                for path in paths(k, m):
                    yield [costs[i, j], *path]

    best = min(paths(0, 0), key=sum)
    return sum(best) / len(best)


def by_enumeration(tokens, on, by, contexts, across):
    """Take every triple; average it in its cell, over contexts, over `by`, over pairs."""
    means = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for a, b, x in itertools.permutations(range(len(tokens)), 3):
        shared = by[a] == by[b] and (by[x] == by[a]) != across
        if on[a] == on[x] != on[b] and shared and contexts[a] == contexts[b] == contexts[x]:
            near, far = distance(tokens[a], tokens[x]), distance(tokens[b], tokens[x])
            error = 1.0 if near > far else 0.5 if near == far else 0.0
            means[on[a], on[b]][by[a], by[x]][contexts[a]].append(error)
    return np.mean([
        np.mean([np.mean([np.mean(cell) for cell in kinds.values()]) for kinds in shares.values()])
        for shares in means.values()
    ])  # fmt: skip


def labelled(count, seed, speakers="st"):
    generator = np.random.default_rng(seed)
    tokens = [generator.standard_normal((n, 5)) for n in generator.integers(1, 5, count)]
    columns = [generator.choice(list(names), count).tolist() for names in ("abc", speakers, "xy")]
    return tokens, *columns


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("within_context", [False, True])
def test_the_error_is_that_of_all_triples(across, within_context):
    tokens, phones, speakers, contexts = labelled(24, seed=3, speakers="stu")
    chosen = contexts if within_context else None
    everywhere = contexts if within_context else [0] * len(tokens)
    for on, by in ((phones, speakers), (speakers, phones)):
        cells = abx_cells(on, by, chosen, across, max_items=None, max_cells=None)
        expected = by_enumeration(tokens, on, by, everywhere, across)
        assert 0.2 < expected < 0.8
        assert abx_error(tokens, cells) == pytest.approx(expected, abs=1e-6)


def test_phones_that_differ_are_told_apart_and_speakers_that_do_not_are_not():
    generator = np.random.default_rng(0)
    directions = dict(zip("abcd", np.eye(4), strict=True))
    phones, speakers = (generator.choice(list(names), 200).tolist() for names in ("abcd", "stuv"))
    clear = [
        directions[phone] + 0.02 * generator.standard_normal((generator.integers(1, 6), 4))
        for phone in phones
    ]
    for across in (False, True):
        assert abx_error(clear, abx_cells(phones, speakers, across=across)) == 0.0
    same_length = [token[:1] for token in clear]
    assert abx_error(same_length, abx_cells(speakers, phones)) == pytest.approx(0.5, abs=0.03)
    noise = list(generator.standard_normal((200, 3, 4)))
    for across in (False, True):
        cells = abx_cells(phones, speakers, across=across, max_items=None)
        assert abx_error(noise, cells) == pytest.approx(0.5, abs=0.03)


def test_equal_distances_are_half_an_error():
    frame = np.random.default_rng(0).standard_normal((1, 7))
    tokens = [np.repeat(frame, n, axis=0) for n in (2, 3, 1, 4, 2)]
    assert abx_error(tokens, abx_cells(list("aabba"), ["s"] * 5)) == 0.5


def test_lengths_and_sizes_of_frames_do_not_count_but_angles_do():
    tokens, phones, speakers, _ = labelled(24, seed=1)
    cells = abx_cells(phones, speakers)
    louder = [3.0 * token for token in tokens]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    turned = [token @ turn for token in tokens]
    for changed in (louder, turned):
        assert abx_error(changed, cells) == pytest.approx(abx_error(tokens, cells), abs=1e-6)


def test_cells_are_drawn_from_all_pairs_and_keep_their_labels():
    _, phones, speakers, contexts = labelled(300, seed=2, speakers="stuvw")
    for across in (False, True):
        everything = abx_cells(phones, speakers, contexts, across, None, None)
        few = abx_cells(phones, speakers, contexts, across, max_items=2, max_cells=13)
        again = abx_cells(phones, speakers, contexts, across, max_items=2, max_cells=13)
        other = abx_cells(phones, speakers, contexts, across, max_items=2, max_cells=13, seed=1)
        assert len(few) == 13 < len(everything) and len({cell.pair for cell in few}) == 6
        assert tokens_of(few) == tokens_of(again) != tokens_of(other)
        for cell in few:
            assert max(len(cell.a), len(cell.b), len(cell.x)) <= 2
            assert {phones[i] for i in (*cell.a, *cell.x)} == {cell.pair[0]}
            assert {phones[i] for i in cell.b} == {cell.pair[1]}
            assert len({contexts[i] for i in (*cell.a, *cell.b, *cell.x)}) == 1
            owners = [{speakers[i] for i in kind} for kind in (cell.a, cell.b, cell.x)]
            first, last = cell.by if across else (cell.by, cell.by)
            assert owners == [{first}, {first}, {last}] and (first != last) == across
    full = abx_cells(phones, speakers, contexts, True, None, None)
    assert len({(cell.pair, cell.by, contexts[cell.a[0]]) for cell in full}) == len(full)


def test_an_interval_says_how_much_speakers_differ():
    cells = abx_cells(list("aab") * 8, [k // 3 for k in range(24)])
    speakers = [(cell.by,) for cell in cells]
    assert len(cells) == 8
    errors = np.linspace(0, 0.7, 8)
    found = abx_interval(cells, errors, speakers)
    assert found.value == average_cells(cells, errors) == pytest.approx(0.35)
    assert found.low < 0.35 < found.high < 0.7 and found.units == 8
    # a mean of 8 numbers with deviation 0.229 (ddof 0): 1.96 x 0.229 / sqrt(8) = 0.159
    assert (found.high - found.low) / 2 == pytest.approx(0.159, abs=0.02)
    equal = abx_interval(cells, np.full(8, 0.3), speakers)
    assert (equal.low, equal.high) == pytest.approx((0.3, 0.3))
    alone = abx_interval(cells[:1], errors[:1], speakers[:1])
    assert np.isnan([alone.low, alone.high]).all() and alone.draws is None


def test_an_interval_of_pairs_of_speakers_weighs_both():
    speakers, phones = list("sstt" * 2 + "uu" * 2), ["a"] * 12
    cells = abx_cells(speakers, phones, max_items=None)
    pairs = sorted({cell.pair for cell in cells})
    errors = np.array([pairs.index(cell.pair) / 10 for cell in cells])
    found = abx_interval(cells, errors, [cell.pair for cell in cells])
    # resamples of three speakers without a pair are dropped; s,t alone give (0.0 + 0.2) / 2
    assert (found.low, found.high) == pytest.approx((0.1, 0.4)) and found.value == 0.25


def test_bad_input_is_refused():
    assert abx_cells(list("aabb"), list("stst")) == []
    with pytest.raises(ValueError, match="got no cell: no three tokens"):
        abx_error([np.ones((1, 2))] * 4, [])
    cells = abx_cells(list("aab"), ["s"] * 3)
    with pytest.raises(ValueError, match=r"token 1 has shape \(0, 2\); expected \(frames, dim\)"):
        cell_errors([np.ones((1, 2)), np.ones((0, 2)), np.ones((1, 2))], cells)
