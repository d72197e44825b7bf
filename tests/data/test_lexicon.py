"""Pronunciation lexicons in the forms in which they are published, and the texts they spell."""

import pytest

from hf_rspin.data.lexicon import Lexicon

FORMS = {
    "cmudict": ";;; a comment\nREAD  R EH1 D\nREAD(1)  R IY1 D\nDON'T  D OW1 N T\n",
    "cmudict.dict": "read R EH1 D # past\nread(2) R IY1 D\ndon't D OW1 N T\n",
    "librispeech": "READ\tR EH1 D\nREAD\tR IY1 D\nDON'T\tD OW1 N T\n",
    "mfa": "<unk>\t0.5\tspn\nread\t0.99\t0.2\t1.0\t1.1\tR EH1 D\ndon't\t1.0\tD OW1 N T\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_first_pronunciation_counts_in_every_published_form(form, tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(FORMS[form])
    lexicon = Lexicon.read(path)
    assert lexicon.phones_of("Don’t READ!") == "D OW N T R EH D".split()
    assert Lexicon.read(path, strip_stress=False).phones_of("read") == ["R", "EH1", "D"]
    assert lexicon.phones_of("read this") is None
    assert lexicon.phones_of("") == []
    assert lexicon.unknown(["read this", "this, that"]) == {"this": 2, "that": 1}


def test_old_encodings_and_vowels_that_are_digits(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_bytes("DÉJÀ  D EY1 ZH AA2\n".encode("latin-1"))
    assert Lexicon.read(path).phones_of("déjà") == ["D", "EY", "ZH", "AA"]
    path.write_text("schön S 2: n\nhöhle h 2: l @\nböcke b 9 k @\n")
    assert Lexicon.read(path).phones_of("Böcke schön") == "b 9 k @ S 2: n".split()


def test_a_word_is_not_taken_for_one_with_an_apostrophe(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text("'CAUSE  K AH0 Z\n'BOUT  B AW1 T\nCAUSE  K AA1 Z\nIT'S  IH1 T S\n")
    lexicon = Lexicon.read(path)
    assert lexicon.phones_of("cause") == ["K", "AA", "Z"]
    assert lexicon.phones_of("'bout it's") == "B AW T IH T S".split()


def test_probabilities_and_what_is_no_word_are_left_out(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(
        "read\t1\t0\t1\t1e-05\tR EH1 D\nfoo 1. F UW1\nbar 1e-05 B AA1 R\n#if a comment\n"
        "[laughter]\tspn\n!SIL SIL\n{SL} SIL\nhush sil\nlaughter\tL AE1 F\nbaz <pad>\n"
    )
    assert Lexicon.read(path).pronunciations == {
        "read": ("R", "EH", "D"), "foo": ("F", "UW"), "bar": ("B", "AA", "R"),
        "laughter": ("L", "AE", "F"),
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding, tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_bytes("L’EAU  L OW1\r\nÉTÉ  EY1 T EY1\r\n".encode(encoding))
    assert Lexicon.read(path).phones_of("l'eau été") == "L OW EY T EY".split()


def test_what_is_no_lexicon_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no\.txt does not exist; expected a lexicon"):
        Lexicon.read(tmp_path / "no.txt")
    (tmp_path / "words.txt").write_text("hello\nworld\n")
    with pytest.raises(ValueError, match="holds no pronunciation"):
        Lexicon.read(tmp_path / "words.txt")
