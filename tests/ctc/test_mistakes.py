"""What is wrong with data or settings is said, skipped or counted before and while it trains."""

import json
import shutil

import pytest
import torch
from transformers import BertConfig, BertModel, HubertModel

from hf_rspin.ctc import CtcCorpusArguments

from .conftest import call_main, write_corpus


def options(encoder, corpus, output, *more):
    return ["--encoder", encoder, "--corpus", corpus, "--corpus_split", "train", "--dev_split",
            "dev", "--output_dir", output, "--max_steps", 2, "--batch_seconds", 6, "--use_cpu",
            "true", "--disable_tqdm", "true", *more]  # fmt: skip


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--target", "text"], "^the corpus has no column text; it has .*phones"),
        (["--dev_split", "test"], "has no row with split 'test'; it has dev, train"),
        (["--corpus", "gone"], "^gone does not exist"),
        (["--encoder", "gone"], "^gone is neither a folder nor a model of the Hub"),
        (["--adapter", "prefix"], "^adapter is 'prefix'; expected none, lora, read"),
    ],
)
def test_one_sentence_says_it(tmp_path, encoder, more, message):
    corpus = write_corpus(tmp_path / "corpus", 6, 2)
    with pytest.raises(SystemExit, match=message) as stop:
        call_main(*options(encoder, corpus, tmp_path / "x", *more))
    assert "\n" not in str(stop.value)
    assert not (tmp_path / "x").exists()


def test_an_impossible_run_does_not_start(tmp_path, encoder, tones):
    more = ["--target", "phones", "--batch_seconds", 0.1]
    with pytest.raises(SystemExit, match="^Training cannot start: batch_seconds=0.1 cannot hold"):
        call_main(*options(encoder, tones, tmp_path / "x", *more))


def test_another_kind_of_model_is_refused(tmp_path, tones):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    BertModel(BertConfig(**sizes, intermediate_size=8, vocab_size=9)).save_pretrained(tmp_path)
    more = ["--target", "phones"]
    with pytest.raises(SystemExit, match="is a 'bert' model; expected one of hubert, wavlm, wav2v"):
        call_main(*options(tmp_path, tones, tmp_path / "x", *more))


def test_bad_files_and_transcripts_are_counted(tmp_path, encoder, caplog):
    phones = {"u02": "AA B " * 40, "u03": "", "u13": "AA ZH ZH", "u12": ""}
    corpus = write_corpus(
        tmp_path / "corpus", 12, 4, phones=lambda row: phones.get(row["id"], row["phones"]),
        duration=lambda row: 1.0,
    )  # fmt: skip
    for name in ("u04", "u14"):
        (corpus / f"{name}.wav").write_bytes(b"damaged")
    call_main(*options(encoder, corpus, tmp_path / "run"))
    found = results(tmp_path / "run")
    reasons = {"have no phones": 1, "have more labels than frames": 1}
    assert found["train"]["left_out"] == reasons and found["train"]["utterances"] == 9
    assert found["train"]["skipped_files"] == 1 and found["dev"]["skipped_files"] == 1
    assert found["dev"]["utterances"] == 2 and found["dev"]["without_transcript"] == 1
    assert found["dev"]["outside_vocabulary"] == {"ZH": 2}
    assert "have more labels than frames and are left out: u02" in caplog.text
    assert "holds 2 phones that training does not, and that count as errors: 'ZH' (2)" in (
        caplog.text
    )
    assert caplog.text.count("Skipped: ") == 2
    with pytest.raises(SystemExit, match="u04.wav"):
        call_main(*options(encoder, corpus, tmp_path / "strict", "--strict", "true"))


def test_transcripts_of_other_audio_are_said(tmp_path, encoder):
    corpus = write_corpus(tmp_path / "corpus", 6, 2, phones=lambda row: "AA B " * 60)
    with pytest.raises(SystemExit, match="all 6 training utterances have more labels than frames"):
        call_main(*options(encoder, corpus, tmp_path / "x"))


def test_a_run_is_not_resumed_with_other_classes(tmp_path, encoder):
    corpus = write_corpus(tmp_path / "corpus", 6, 2)
    call_main(*options(encoder, corpus, tmp_path / "run"))
    other = write_corpus(tmp_path / "other", 6, 2, phones=lambda row: row["phones"] + " EH")
    with pytest.raises(SystemExit, match="checkpoint-2 was trained otherwise .*vocabulary was"):
        call_main(*options(encoder, other, tmp_path / "run", "--max_steps", 4))
    call_main(*options(encoder, other, tmp_path / "run", "--overwrite_output_dir", "true"))
    assert results(tmp_path / "run")["classes"] == 7


def test_options_of_two_views_are_none_of_this_script(tmp_path, encoder, tones):
    with pytest.raises(SystemExit, match="--collapse_of_peak is no option of this script"):
        call_main(*options(encoder, tones, tmp_path, "--collapse_of_peak", "0.5"))


def test_a_finished_run_is_not_another_encoders(tmp_path, encoder):
    corpus = write_corpus(tmp_path / "corpus", 6, 2)
    call_main(*options(encoder, corpus, tmp_path / "run"))
    before = results(tmp_path / "run")
    other = HubertModel.from_pretrained(encoder)
    with torch.no_grad():
        other.encoder.layers[0].attention.k_proj.weight += 0.01
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(SystemExit, match="checkpoint-2 was trained otherwise .encoder_weights"):
        call_main(*options(tmp_path / "other", corpus, tmp_path / "run"))
    with pytest.raises(SystemExit, match="trained otherwise .learning_rate was 0.0001 and is 0.1"):
        call_main(*options(encoder, corpus, tmp_path / "run", "--learning_rate", 0.1))
    assert results(tmp_path / "run") == before
    shutil.copytree(encoder, tmp_path / "moved")
    call_main(*options(tmp_path / "moved", corpus, tmp_path / "run", "--target", "phones"))


def test_an_encoder_that_lacks_weights_is_refused(tmp_path, encoder, tones):
    whole = HubertModel.from_pretrained(encoder)
    weights = {n: v for n, v in whole.state_dict().items() if "layers.1." not in n}
    whole.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(SystemExit, match="no whole encoder: .* such as hubert.encoder.layers.1"):
        call_main(*options(tmp_path, tones, tmp_path / "x", "--target", "phones"))


def test_words_are_the_column_text():
    assert CtcCorpusArguments("x", target="words").target == "text"
