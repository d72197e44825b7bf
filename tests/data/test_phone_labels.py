import pytest

from hf_rspin.data.phone_labels import PhoneVocabulary, parse_phones


def test_separators_are_dropped_and_stress_is_optional():
    text = "W IY0 | K AO1 L"
    assert parse_phones(text) == ["W", "IY", "K", "AO", "L"]
    assert parse_phones(text, strip_stress=False) == ["W", "IY0", "K", "AO1", "L"]


def test_ids_start_after_the_blank_and_come_back():
    vocabulary = PhoneVocabulary.build([["B", "AA"], ["CH", "AA"]])
    assert vocabulary.encode(["AA", "B", "CH"]) == [1, 2, 3]
    assert len(vocabulary) == 4
    with pytest.raises(ValueError, match="'ZH'"):
        vocabulary.encode(["ZH"])
    with pytest.raises(ValueError, match="no phone"):
        PhoneVocabulary.build([[], []])


@pytest.mark.parametrize(
    ("path", "phones"),
    [
        ([0, 1, 1, 0, 2, 2, 0], ["AA", "B"]),
        ([1, 0, 1], ["AA", "AA"]),
        ([1, 2, 1], ["AA", "B", "AA"]),
        ([0, 0], []),
    ],
)
def test_best_path_merges_repeats_before_it_drops_blanks(path, phones):
    assert PhoneVocabulary(("AA", "B")).decode_greedy(path) == phones


def test_only_the_stress_of_arpabet_vowels_is_dropped():
    assert parse_phones("a1 a2 ma0 ER0 er2 T1 AX0 2 AA12") == [
        "a1", "a2", "ma0", "ER", "er2", "T1", "AX", "2", "AA12",
    ]  # fmt: skip
