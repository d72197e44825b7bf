from itertools import groupby

import numpy as np
import pytest

from hf_rspin.evaluation.conditions import PacketLoss
from hf_rspin.evaluation.conditions.packet_loss import lost_packets


def packets(condition, count, utterance="u"):
    """Return (packets, 320) of what is heard of numbered packets, each of one level."""
    numbered = np.repeat(np.arange(1, count + 1, dtype=np.float32), 320)
    return condition(numbered, utterance).reshape(count, 320)


@pytest.mark.parametrize("mean_burst", [1.0, 3.0])
@pytest.mark.parametrize("severity, share", enumerate((0.05, 0.1, 0.2, 0.4), 1))
def test_the_asked_share_is_lost_in_bursts_of_the_asked_length(severity, share, mean_burst):
    heard = packets(PacketLoss(severity, mean_burst), 20_000)
    lost = heard[:, 0] == 0
    np.testing.assert_array_equal(heard[~lost], packets(lambda x, _: x, 20_000)[~lost])
    assert not heard[lost].any()
    assert lost.mean() == pytest.approx(share, abs=0.025)
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    assert np.mean(bursts) == pytest.approx(mean_burst, rel=0.1)
    if mean_burst == 1:
        assert max(bursts) == 1
    else:  # geometric: each further packet of a burst is lost with the same chance
        assert np.mean(np.array(bursts) == 1) == pytest.approx(1 / mean_burst, abs=0.05)


def test_utterances_begin_like_they_go_on():
    first = [lost_packets(np.random.default_rng(i), 1, 0.4, 3.0)[0] for i in range(2000)]
    assert np.mean(first) == pytest.approx(0.4, abs=0.05)


def test_the_last_packet_that_arrived_is_repeated():
    zeros, repeats = PacketLoss(4), PacketLoss(4, fill="repeat")
    began_lost = 0
    for utterance in map(str, range(20)):
        expected, last = [], np.zeros(320, dtype=np.float32)
        for packet in packets(zeros, 50, utterance):  # loses the same ones
            last = packet if packet.any() else last
            expected.append(last)
        began_lost += not expected[0].any()
        np.testing.assert_array_equal(packets(repeats, 50, utterance), expected)
    assert 0 < began_lost < 20


def test_an_unfinished_packet_is_lost_too():
    sizes = {len(PacketLoss(4)(np.ones(size, dtype=np.float32), "u")) for size in range(400, 1000)}
    assert sizes == set(range(400, 1000))
    ends = {PacketLoss(4)(np.ones(330, dtype=np.float32), f"u{i}")[320:].sum() for i in range(30)}
    assert ends == {0.0, 10.0}


def test_variants_are_told_apart_and_impossible_ones_refused():
    assert PacketLoss().name == "packet_loss" and PacketLoss(1).name == "packet_loss_1"
    assert PacketLoss(3, 1, "repeat").name == "packet_loss_burst1_repeat_3"
    for burst in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="got bursts of .* expected .* at least 1, such as 3"):
            PacketLoss(mean_burst=burst)
    with pytest.raises(ValueError, match="at a loss of 0.75, expected .* bursts of at least 3"):
        lost_packets(np.random.default_rng(0), 5, 0.75, 2.0)
    with pytest.raises(ValueError, match="got fill='noise' .*, expected zero or repeat"):
        PacketLoss(fill="noise")
