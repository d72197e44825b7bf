import pytest

from hf_rspin.ctc.arguments import CtcCorpusArguments
from hf_rspin.ctc.splits import load_splits
from hf_rspin.data import SkippedFiles

from .conftest import write_corpus


def load(folder, **options):
    return load_splits(CtcCorpusArguments(str(folder), target="phones", **options), SkippedFiles())


def ids(part):
    return set(part.corpus["id"]) if hasattr(part, "corpus") else set(part.utterances.ids)


def test_speakers_are_held_out_where_there_are_enough(tones):
    splits = load(tones)
    train = {int(key[1:]) % 10 for key in ids(splits.train)}
    dev = {int(key[1:]) % 10 for key in ids(splits.dev)}
    assert train | dev == set(range(10)) and not train & dev and len(dev) == 1
    assert ids(load(tones).dev) == ids(splits.dev)
    assert splits.test is None and splits.dev.name == "held-out speakers"


def test_utterances_are_held_out_where_speakers_are_few(tmp_path):
    corpus = write_corpus(tmp_path, speaker=lambda row: row["id"][-1] > "4")
    splits = load(corpus, dev_fraction=0.2)
    assert len(splits.dev) == 5 and len(splits.train.corpus) == 19
    assert not ids(splits.dev) & ids(splits.train) and splits.dev.name == "held-out utterances"
    assert load(corpus, dev_fraction=0).dev is None


def test_unknown_speakers_are_no_speaker_that_is_held_out(tmp_path):
    corpus = write_corpus(tmp_path, speaker=lambda row: "" if row["id"] > "u05" else row["id"])
    splits = load(corpus, dev_fraction=0.34)
    assert len(splits.dev) == 2 and ids(splits.dev) < {f"u{i:02d}" for i in range(6)}
    splits = load(write_corpus(tmp_path / "none", speaker=lambda row: ""))
    assert splits.dev.name == "held-out utterances" and splits.dev.utterances.speakers is None


def test_references_follow_the_order_of_the_utterances(tones):
    splits = load(tones, corpus_split="train", dev_split="dev")
    pairs = [*zip(splits.train.corpus["id"], splits.train.transcripts, strict=True)]
    pairs += zip(splits.dev.utterances.ids, splits.dev.references, strict=True)
    table = (tones / "metadata.csv").read_text(encoding="utf-8").split("\n")
    for key, phones in pairs:
        assert f",{phones}," in next(row for row in table if row.startswith(f"{key}.wav"))


def test_what_cannot_be_used_is_named_and_counted(tmp_path, caplog):
    silent = {"u03", "u21"}
    corpus = write_corpus(
        tmp_path, phones=lambda row: "" if row["id"] in silent else row["phones"]
    )
    splits = load(corpus, corpus_split="train", dev_split="dev", max_seconds=1.2)
    assert splits.train.left_out["have no phones"] == 1 and "u03" not in ids(splits.train)
    assert splits.train.left_out["are over 1.2 s"] == 20 - 1 - len(splits.train.corpus) > 0
    assert splits.dev.num_empty == 1 and "u21" not in ids(splits.dev)
    assert "1 of 20 training utterances have no phones and are left out: u03" in caplog.text
    assert "1 of 4 utterances of dev have no phones and are not measured" in caplog.text


def test_nothing_left_to_train_on_is_said(tones):
    reasons = r"can be used \(20 are over 0.5 s\): fill the column phones, or set min_seconds"
    with pytest.raises(ValueError, match=reasons):
        load(tones, corpus_split="train", dev_split="dev", max_seconds=0.5)


def test_a_row_in_two_splits_is_refused(tones):
    with pytest.raises(ValueError, match="4 utterances of --dev_split dev are in --corpus_split n"):
        load(tones, dev_split="dev")
    with pytest.raises(ValueError, match="split train was named twice"):
        load(tones, corpus_split="train", dev_split="train")


def test_a_split_without_transcripts_is_said(tmp_path):
    corpus = write_corpus(tmp_path, phones=lambda row: row["split"] == "train" and row["phones"])
    table = (corpus / "metadata.csv").read_text().replace("False", "")
    (corpus / "metadata.csv").write_text(table)
    with pytest.raises(ValueError, match="no utterance of the dev split has a transcript"):
        load(corpus, corpus_split="train", dev_split="dev")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "syllables"}, "target is 'syllables'; expected text, phones or auto"),
        ({"text_case": "title"}, "text_case is 'title'; expected lower, upper, keep"),
        ({"dev_fraction": 1.0}, "dev_fraction is 1; expected 0 to below 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CtcCorpusArguments("x", **options)
