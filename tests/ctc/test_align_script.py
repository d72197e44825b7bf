"""`align_phones.py`: the times are those of the tones, and a kill costs little."""

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from hf_rspin.ctc.align_corpus import boundaries, read_rules, spoken_in
from hf_rspin.ctc.results import load_ctc_model
from hf_rspin.data import load_corpus
from hf_rspin.data.transcripts import TranscriptRules
from hf_rspin.evaluation import EvaluationSet
from hf_rspin.resources import parse_alignment

from .conftest import ROOT, call_main, script_environment, write_corpus, write_table

SCRIPT = ROOT / "training_scripts" / "align_phones.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory, encoder, tones):
    folder = tmp_path_factory.mktemp("models")
    for target, steps in (("phones", 24), ("text", 40)):
        call_main("--encoder", encoder, "--corpus", tones, "--output_dir", folder / target,
                  "--target", target, "--corpus_split", "train", "--max_steps", steps,
                  "--dev_fraction", 0, "--learning_rate", 5e-3, "--batch_seconds", 8, "--use_cpu",
                  "true", "--disable_tqdm", "true", "--save_strategy", "no")  # fmt: skip
    return folder


@pytest.fixture
def speech(tmp_path):
    """Phones with stress marks left as they are, in two words; and their names."""
    return write_corpus(
        tmp_path / "speech", num_train=6, num_dev=3,
        phones=lambda row: " | ".join(row["phones"].replace("AA", "AA1").split(" ", 1)),
        text=lambda row: "one two",
    )  # fmt: skip


def command(model, corpus, output, *options):
    return ["--model", str(model), "--corpus", str(corpus), "--output", str(output),
            *map(str, options)]  # fmt: skip


@pytest.fixture
def align(capsys, monkeypatch):
    """Call the script in this process; return what it says."""
    spec = importlib.util.spec_from_file_location("align_phones", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "align_phones", module)
    spec.loader.exec_module(module)

    def run(*arguments, fails=False):
        monkeypatch.setattr(sys, "argv", ["align_phones", *command(*arguments)])
        capsys.readouterr()
        if not fails:
            module.main()
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as error:
            module.main()
        return capsys.readouterr().out + str(error.value)

    return run


def lines_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def segments(text, seconds):
    return [one for one in parse_alignment(text, seconds) if one.phone != "SIL"]


def test_the_reader_finds_the_tones_where_they_are(align, models, speech):
    said = align(models / "phones", speech, speech / "alignments.jsonl")
    assert "9 of 9 utterances are aligned" in said
    corpus = load_corpus(speech)
    errors = []
    for row in corpus:
        found = segments(row["alignment"], row["duration"])
        assert [one.phone for one in found] == row["phones"].replace("| ", "").split()
        for number, one in enumerate(found):  # 50 ms of pause, 150 ms of tone
            errors += [abs(one.start - 0.05 - 0.2 * number), abs(one.end - 0.2 - 0.2 * number)]
        words = segments(row["word_alignment"], row["duration"])
        assert [one.phone for one in words] == ["one", "two"]
        assert (words[0].start, words[0].end) == found[0][:2]
        assert (words[1].start, words[1].end) == (found[1].start, found[-1].end)
        assert row["alignment_score"] > -0.5
    assert sorted(errors)[len(errors) // 2] < 0.05 and max(errors) < 0.15
    utterances = EvaluationSet.from_corpus(corpus)
    assert "AA1" not in " ".join(utterances.alignments) and len(utterances.word_alignments) == 9


def test_text_gives_words_only(align, models, tones, tmp_path):
    output = tmp_path / "words.jsonl"
    said = align(models / "text", tones, output, "--split", "dev", "--column", "text")
    assert "it has to be called alignments.jsonl" in said
    for line in lines_of(output):
        assert "phones" not in line and len(line["words"]) == 2
        assert line["word_starts"][1] > line["word_ends"][0] > line["word_starts"][0]
    shutil.copytree(tones, tmp_path / "copy")
    shutil.copy(output, tmp_path / "copy" / "alignments.jsonl")
    corpus = load_corpus(tmp_path / "copy", "dev")
    assert all(corpus["word_alignment"]) and not any(corpus["alignment"])


def test_killed_it_goes_on_and_gives_the_same(align, models, tmp_path):
    corpus = write_corpus(tmp_path / "many", num_train=40, num_dev=0)
    whole, output = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    align(models / "phones", corpus, whole)
    partial = output.with_name("killed.jsonl.partial")
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *command(models / "phones", corpus, output)],
        env=script_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 300):
        time.sleep(0.001)
    process.kill()
    errors = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL and not output.exists(), errors[-3000:]
    kept = partial.read_text().count("\n")
    assert 0 < kept < 40
    marked = partial.read_text().replace('"score": ', '"seen": true, "score": ')
    partial.write_text(marked + '{"file_name": "torn')
    align(models / "phones", corpus, output)
    found = lines_of(output)
    assert sum(line.pop("seen", False) for line in found) == kept  # not made again
    assert found == lines_of(whole) and not partial.exists()


def test_what_cannot_be_aligned_is_named_and_left_empty(align, models, tmp_path):
    corpus = write_corpus(tmp_path / "speech", num_train=3, num_dev=0)
    rows = [{"file_name": f"u0{i}.wav", "phones": text, "split": "train"}
            for i, text in enumerate(["AA QQ B", "AA B " * 100, "AA B"])]  # fmt: skip
    write_table(corpus, [*rows, {"file_name": "u09.wav", "phones": "", "split": "dev"}])
    soundfile.write(corpus / "u09.wav", [0.1, -0.1] * 8000, 16000)
    output = corpus / "alignments.jsonl"
    said = align(models / "phones", corpus, output)
    assert "u00.wav was not aligned: it holds 'QQ', which the model was not trained on" in said
    assert re.search(r"u01\.wav was not aligned: got \d+ frames for 200 labels; exp", said)
    assert "u09.wav was not aligned: the column phones is empty" in said
    assert "1 of 4 utterances are aligned" in said
    alignments = load_corpus(corpus)["alignment"][:]
    assert [bool(text) for text in alignments] == [False, False, True, False]
    said = align(models / "phones", corpus, tmp_path / "x.jsonl", "--split", "dev", fails=True)
    assert "No utterance could be aligned" in said
    assert not list(tmp_path.glob("x.jsonl*"))


def test_lines_made_otherwise_are_kept_until_told(align, models, speech, tmp_path):
    output = tmp_path / "a.jsonl"
    align(models / "phones", speech, output, "--split", "dev")
    before = output.read_text()
    align(models / "phones", speech, output, "--split", "train")
    assert output.read_text().startswith(before) and len(lines_of(output)) == 9
    other = (models / "phones", speech, output, "--spread", 0)
    said = align(*other, fails=True)
    assert "has a line of u00.wav that was made otherwise" in said and "--overwrite" in said
    assert output.read_text().startswith(before) and not list(tmp_path.glob("*.partial"))
    align(*other, "--overwrite", "true")
    narrow, wide = (float(text) for text in (
        lines_of(output)[0]["phone_ends"][0], json.loads(before.split("\n")[0])["phone_ends"][0]
    ))  # fmt: skip
    assert len(lines_of(output)) == 9 and narrow < wide


@pytest.mark.parametrize(
    ("model", "corpus", "options", "message"),
    [
        ("phones", "speech", ["--column", "text"], "--column is text, but .* trained on phones"),
        ("nowhere", "speech", [], "nowhere does not exist; expected a folder of `hf-rspin finet"),
        ("phones", "speech", ["--split", "nope"], "no row with split 'nope'"),
        ("phones", "speech", ["--spread", "-2"], "--spread is -2"),
        ("phones", "other", [], "no column phones; it has"),
    ],
)
def test_mistakes_end_with_a_sentence(
    align, models, speech, tmp_path, model, corpus, options, message
):
    (tmp_path / "other").mkdir()
    shutil.copy(speech / "u00.wav", tmp_path / "other")
    said = align(models / model, tmp_path / corpus, tmp_path / "a.jsonl", *options, fails=True)
    assert re.search(message, said)


PHONES = TranscriptRules("phones")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"phones": "W IY0 | K AO0 L"}, [("W_IY", 0, 2), ("K_AO_L", 2, 5)]),
        ({"phones": "W IY0 | K AO0 L", "text": "We call!"}, [("We", 0, 2), ("call", 2, 5)]),
        ({"phones": "W IY0 | K AO0 L", "text": "We"}, []),
        ({"phones": "W IY0 K AO0 L", "text": "Wecall"}, []),
        ({"phones": "| W IY0 | | K AO0 L |"}, [("W_IY", 0, 2), ("K_AO_L", 2, 5)]),
    ],
)
def test_words_are_known_where_they_are_separated(row, words):
    spoken = spoken_in(row, PHONES)
    assert spoken.words == words
    assert spoken.tokens == ["W", "IY", "K", "AO", "L"]
    assert spoken.written == ["W", "IY0", "K", "AO0", "L"]


def test_rules_are_those_of_training(models, tmp_path):
    for target, case in (("phones", "lower"), ("text", "lower")):
        tokenizer = load_ctc_model(models / target)[1].tokenizer
        expected = TranscriptRules(target, case)
        assert read_rules(models / target, tokenizer) == expected
        assert read_rules(tmp_path, tokenizer) == expected  # by its tokens alone
        adapter = tmp_path / target / "adapter"
        adapter.mkdir(parents=True)
        (adapter.parent / "results.json").write_text(
            json.dumps({"transcripts": {"target": "text", "case": "keep"}})
        )
        assert read_rules(adapter, tokenizer) == TranscriptRules("text", "keep")


def test_boundaries_lie_between_the_centres_of_frames():
    # centres of frames 0 to 2: 12.5, 32.5 and 52.5 ms
    assert boundaries([0, 1, 2, 50], 0.9) == [0.0, 0.0225, 0.0425, 0.9]
