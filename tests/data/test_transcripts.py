import pytest

from hf_rspin.data.transcripts import TranscriptRules, choose_target


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Hello,  world!", "hello world"),
        ("well-known (50 %)", "well known 50"),
        ("don\u2019t \u2018quote\u2019 'me'", "don't quote me"),
        ("Cafe\u0301 | \u00c9T\u00c9", "caf\u00e9 \u00e9t\u00e9"),
        ("  \t ", ""),
        (None, ""),
        (float("nan"), ""),
        ("...", ""),
    ],
)
def test_text_has_one_form(cell, expected):
    assert TranscriptRules("text")(cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("\u0130stanbul I\u0307yi", "istanbul iyi"),  # Turkish capitals, composed or not
        ("\u1e9eTRASSE \u039f\u0394\u039f\u03a3", "\u00dfTRASSE \u039f\u0394\u039f\u03a3".lower()),
        ("\ufeffwo\u00adrd\u200d\u200e a\u200bb\u2060\x07", "word a b"),
        ("heart \u2764\ufe0f beats", "heart beats"),
        ("tab\tline\nfeed\u00a0blank", "tab line feed blank"),
        ("<pad>hello<s> [UNK] world</s>", "hello world"),
    ],
)
def test_what_nobody_says_is_no_class(cell, expected):
    for keep in (False, True):
        if keep and "\u2764" in cell:  # a symbol that was asked for
            expected = "heart \u2764 beats"
        assert TranscriptRules("text", keep_punctuation=keep)(cell) == expected


def test_upper_case_keeps_one_kind_of_apostrophe():
    assert TranscriptRules("text", "upper", keep_punctuation=True)("\u0149 \u0131i") == "'N II"


def test_case_and_punctuation_are_options():
    assert TranscriptRules("text", "upper", keep_punctuation=True)("I'm ok, | you?") == (
        "I'M OK, YOU?"
    )
    assert TranscriptRules("text", "keep")("McDonald's") == "McDonald's"


def test_phones_lose_word_separators_and_stress():
    cell = "W IY0 | K AO1 L"
    assert TranscriptRules("phones")(cell) == "W IY K AO L"
    assert TranscriptRules("phones", strip_stress=False)(cell) == "W IY0 K AO1 L"
    assert TranscriptRules("phones")(None) == ""
    assert TranscriptRules("phones")("<pad> a1 a2 | ER2 n0 <unk> 012") == "a1 a2 ER n0 012"


def test_the_column_that_is_there_is_taken():
    assert choose_target(["id", "text"]) == "text"
    assert choose_target(["id", "phones"]) == "phones"
    assert choose_target(["text", "phones"], "phones") == "phones"


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        (["id", "sentence"], "auto", "neither a column text nor phones; it has id, sentence"),
        (["id", "text"], "phones", "no column phones; it has id, text"),
        (["text", "phones"], "auto", "both columns, text and phones: say which with --target"),
    ],
)
def test_a_missing_column_is_named(columns, wanted, message):
    with pytest.raises(ValueError, match=message):
        choose_target(columns, wanted)
