"""Silence is silence by whatever name an aligner has for it, in the column `alignment` too."""

import pytest

from hf_rspin.data.phone_times import SILENCE, frame_phones
from hf_rspin.evaluation.boundaries import phone_starts


@pytest.mark.parametrize("name", ["SIL", "sil", "sp", "SP", "pau", "h#", "<eps>", "spn"])
def test_frames_of_silence_have_no_phone(name):
    text = "0.000:{0} 0.100:AA 0.200:{0} 0.250:spn 0.300:B"
    found = frame_phones(text.format(name), 16_000)
    assert found == frame_phones(text.format("SIL"), 16_000)
    assert set(found) == {SILENCE, "AA", "B"}
    assert phone_starts(text.format(name)) == phone_starts(text.format("SIL"))
