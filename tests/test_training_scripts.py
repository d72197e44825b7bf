"""The scripts as a user runs them, on a tiny encoder: Spin, pseudo-labels, R-Spin, quickstart."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import ModelCard
from transformers import (
    AutoModel,
    HubertConfig,
    HubertForCTC,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from hf_rspin.data.corpora import load_corpora
from hf_rspin.hub import check_folder
from hf_rspin.models import RSpinHubertModel
from hf_rspin.publishing.upload import files_to_upload
from hf_rspin.resources import sample_folder
from hf_rspin.units import AcousticPieces, FrameLabels, KMeans

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "training_scripts"


def run(script, *arguments, succeeds=True):
    done = run_process(script, *arguments)
    assert (done.returncode == 0) == succeeds, done.stderr[-3000:]
    return done.stdout + done.stderr


def run_process(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Twelve utterances of the sample without metadata, and a broken file."""
    folder = tmp_path_factory.mktemp("speech")
    for number, file in enumerate(sorted(sample_folder().rglob("*.flac"))[::10]):
        shutil.copy(file, folder / f"{number:02d}.flac")
    (folder / "broken.wav").write_bytes(b"not audio")
    return folder


def test_spin_labels_and_rspin(tmp_path, main, encoder, speech):
    noise = tmp_path / "noise"
    noise.mkdir()
    soundfile.write(noise / "n.wav", np.random.default_rng(0).normal(size=32000) * 0.1, 16000)
    common = ["--corpus", speech, "--max_steps", 4, "--batch_seconds", 8, "--logging_steps", 2,
              "--save_steps", 2, "--min_seconds", 1, "--use_cpu", "true"]  # fmt: skip
    main("train_spin", "--encoder", encoder, "--codebook_size", 8, "--output_dir",
         tmp_path / "spin", *common)  # fmt: skip
    spin = RSpinHubertModel.from_pretrained(tmp_path / "spin")
    before = HubertModel.from_pretrained(encoder).state_dict()
    moved = {n for n, v in spin.hubert.state_dict().items() if not torch.equal(v, before[n])}
    assert moved and all(n.startswith(("encoder.layers.1.", "encoder.layers.2.")) for n in moved)

    main("make_pseudo_labels", "--corpus", speech, "--units", "spin", "--model",
         tmp_path / "spin", "--vocab_size", 30, "--output_dir", tmp_path / "labels",
         "--device", "cpu")  # fmt: skip
    labels = FrameLabels.load(tmp_path / "labels" / "pieces")
    pieces = AcousticPieces.from_pretrained(tmp_path / "labels" / "acoustic_pieces")
    units = FrameLabels.load(tmp_path / "labels" / "units")
    assert len(labels) == 12 and labels.num_labels == pieces.num_labels
    for name in labels:
        np.testing.assert_array_equal(labels[name], pieces.encode(units[name]))

    pieces = tmp_path / "labels" / "pieces"
    out = run("train_rspin.py", "--encoder", encoder, "--noise", noise, "--pseudo_labels", pieces,
              "--output_dir", tmp_path / "rspin", *common)  # fmt: skip
    assert "broken.wav" in out
    model = RSpinHubertModel.from_pretrained(tmp_path / "rspin").eval()
    assert model.config.num_pseudo_labels == labels.num_labels
    assert all(
        not torch.equal(v, before[n])
        for n, v in model.hubert.state_dict().items()
        if n.endswith("weight") and "layers" in n
    )
    waveform = torch.randn(1, 8000)
    expected = model(waveform).last_hidden_state
    plain = AutoModel.from_pretrained(tmp_path / "rspin").eval()
    torch.testing.assert_close(plain(waveform).last_hidden_state, expected)
    ctc = HubertForCTC.from_pretrained(tmp_path / "rspin").eval()
    torch.testing.assert_close(ctc.hubert(waveform).last_hidden_state, expected)
    history = json.loads((tmp_path / "rspin" / "history.json").read_text())
    assert {"spin_loss", "auxiliary_loss", "code_perplexity"} <= set(history[-1])

    # what the folder needs for the Hub is there, and says nothing of this machine
    check_folder(tmp_path / "rspin")
    card = ModelCard.load(tmp_path / "rspin" / "README.md")
    assert card.data.model_name is None and not card.data.eval_results  # nothing was evaluated
    assert AcousticPieces.from_pretrained(tmp_path / "rspin").num_labels == labels.num_labels
    published = [tmp_path / "rspin" / name for name in files_to_upload(tmp_path / "rspin")]
    assert not any(str(tmp_path).encode() in file.read_bytes() for file in published)


@pytest.mark.parametrize("units", ["mfcc", "layer"])
def test_kmeans_labels(tmp_path, main, encoder, speech, units):
    main("make_pseudo_labels", "--corpus", speech, "--units", units, "--model", encoder,
         "--layer", 2, "--num_clusters", 10, "--vocab_size", 20, "--output_dir", tmp_path,
         "--device", "cpu")  # fmt: skip
    assert FrameLabels.load(tmp_path / "units").num_labels == 10
    assert FrameLabels.load(tmp_path / "pieces").num_labels <= 20


def test_units_of_whisper_and_of_several_corpora(tmp_path, main, speech):
    torch.manual_seed(0)
    WhisperModel(WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=24,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=24, vocab_size=30,
        num_mel_bins=20, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )).save_pretrained(tmp_path / "whisper")  # fmt: skip
    WhisperFeatureExtractor(20).save_pretrained(tmp_path / "whisper")
    for split in ("train", "test"):
        (tmp_path / "other" / split).mkdir(parents=True)
        shutil.copy(speech / "03.flac", tmp_path / "other" / split)
    common = ["--corpora", speech, tmp_path / "other", "--units", "layer", "--layer", 2,
              "--num_clusters", 10, "--vocab_size", 0, "--device", "cpu",
              "--output_dir", tmp_path / "labels"]  # fmt: skip
    main("make_pseudo_labels", *common, "--encoder", tmp_path / "whisper", "--standardize", "true")
    labels = FrameLabels.load(tmp_path / "labels" / "units")
    corpus = load_corpora([speech, tmp_path / "other"], None, ["test", "test_unseen"])
    assert set(labels) == set(corpus["id"]) and len(labels) == 13 and labels.num_labels == 10
    assert KMeans.from_pretrained(tmp_path / "labels" / "kmeans").scale.shape == (2, 16)
    with pytest.raises(SystemExit, match=r"standardize True \(now None\)"):
        main("make_pseudo_labels", *common, "--model", tmp_path / "whisper")
    for more, message in (
        (["--model", "a", "--encoder", "b"], "^got --model and --encoder, two names of one"),
        (["--model", tmp_path / "whisper", "--corpus", speech], "^got --corpus and --corpora"),
        (["--model", tmp_path / "whisper", "--layer", 3], "hidden_states 0 to 2"),
    ):
        with pytest.raises(SystemExit, match=message):
            main("make_pseudo_labels", *common, *more)


def test_quickstart_on_own_audio(tmp_path, main, encoder, speech):
    arguments = ["--encoder", encoder, "--layer", 2, "--num_units", 10, "--vocab_size", 20,
                 "--steps", 3, "--batch_seconds", 6, "--output_dir", tmp_path / "run"]  # fmt: skip
    out = run("quickstart.py", "--audio", speech, *arguments)
    assert "1 skipped: " in out and out.count("broken.wav") >= 2 and "CKA, seen noise" in out
    assert "| 3/3 [" in out  # the bar of the updates
    assert "no speaker names" in out and "no phone alignment" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/svg") >= 2 and "http" not in page.split("</style>")[1][:200]
    assert RSpinHubertModel.from_pretrained(tmp_path / "run" / "model").config.codebook_size == 32
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SystemExit, match=str(empty)):
        main("quickstart", "--audio", empty, *arguments)


def test_mistakes_are_said_in_one_sentence(tmp_path, main, encoder, speech):
    with pytest.raises(SystemExit, match="gone does not exist; expected a folder of audio"):
        main("train_spin", "--encoder", encoder, "--corpus", tmp_path / "gone", "--use_cpu",
             "true", "--max_steps", 1, "--output_dir", tmp_path / "x")  # fmt: skip
    common = ["--corpus", speech, "--output_dir", tmp_path / "x"]
    with pytest.raises(SystemExit, match="^no encoder was given"):
        main("train_spin", *common)
    with pytest.raises(SystemExit, match="gone is neither a folder nor a model of the Hub"):
        main("train_spin", *common, "--encoder", tmp_path / "gone")
    with pytest.raises(SystemExit, match="--units spin needs --model"):
        main("make_pseudo_labels", *common)
    with pytest.raises(SystemExit, match="has no codebook, so its codes would be random"):
        main("make_pseudo_labels", *common, "--model", encoder)
    with pytest.raises(SystemExit, match="num_clusters is 1000000, but k-means gets about"):
        main("make_pseudo_labels", *common, "--units", "mfcc", "--num_clusters", 10**6)
    with pytest.raises(SystemExit, match="device 'gpu' cannot be used"):
        main("make_pseudo_labels", *common, "--units", "layer", "--model", encoder,
             "--device", "gpu")  # fmt: skip
    with pytest.raises(SystemExit, match="nowhere holds no frame_labels.json"):
        main("train_rspin", *common, "--encoder", encoder, "--without_noise", "true",
             "--pseudo_labels", tmp_path / "nowhere")  # fmt: skip
    with pytest.raises(SystemExit, match="--layer is 9; this encoder has layers 0 to 3"):
        main("quickstart", "--encoder", encoder, "--layer", 9, "--output_dir", tmp_path / "x")
    with pytest.raises(SystemExit, match="gone is neither a folder nor a model of the Hub"):
        main("evaluate", "--encoders", tmp_path / "gone", "--corpus", speech)
    with pytest.raises(SystemExit, match="--repeats is 0; expected more than 0"):
        main("benchmark", "--repeats", 0)
    common = ["--output_dir", tmp_path / "x", "--use_cpu", "true", "--max_steps"]
    for options, message in (
        ([1, "--corpora", tmp_path / "gone"], "gone does not exist"),
        ([1, "--corpora", speech, "--min_seconds", 99], "no utterance of 99 s or more"),
        ([0, "--corpora", speech], "max_steps is 0; expected updates"),
        ([1, "--corpora", speech, "--teacher", tmp_path], "holds no config.json"),
        ([1, "--corpora", speech, "--encoder", "{bad"], "--encoder is no JSON"),
    ):
        with pytest.raises(SystemExit, match=message):
            main("pretrain_hubert", *common, *options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("mistake", ["bad table", "impossible run"])
def test_mistakes_end_a_process_without_a_traceback(tmp_path, encoder, speech, mistake):
    options = ["--use_cpu", "true", "--output_dir", tmp_path / "x", "--max_steps", 1]
    script, arguments = "train_spin.py", ["--encoder", encoder, *options]
    if mistake == "bad table":
        (tmp_path / "metadata.csv").write_text('file_name,text\n"a.wav,b\n')
        script, arguments = "make_pseudo_labels.py", ["--units", "mfcc", *options[2:4]]
        arguments += ["--corpus", tmp_path]
        expected = f"{tmp_path / 'metadata.csv'} could not be read as a table"
    else:
        script = "train_rspin.py"
        arguments += ["--corpus", speech, "--without_noise", "true", "--batch_seconds", 0.1]
        expected = "Training cannot start: batch_seconds=0.1 cannot hold the longest utterance"
    done = run_process(script, *arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.stderr.rstrip("\n").split("\n")[-1].startswith(expected), done.stderr[-3000:]


def test_views_are_measured(main, capsys):
    main("measure_views", "--corpus", sample_folder(), "--num_utterances", 12)
    out = capsys.readouterr().out
    rows = {row.split(" | ")[0].removeprefix("| "): row.split(" | ")[1:] for row in out.split("\n")}
    for name, least in (("median F0", 0.75), ("formants", 0.75)):
        measured, median, _, within, _ = rows[name]
        assert int(measured) >= 9 and float(median) == pytest.approx(1, abs=0.03)
        assert float(within.rstrip("%")) / 100 >= least
    for name in ("Spin views", "R-Spin views"):
        assert rows[name][1:] == ["12 of 12", "0 |"]
    with pytest.raises(SystemExit, match="gone does not exist"):
        main("measure_views", "--corpus", "gone")


def test_attention_and_acoustic_pieces_are_timed_beside_their_peers(main, capsys):
    sizes = ["--hidden_size", 32, "--num_heads", 2, "--seconds", 0.5, "--repeats", 1]
    main("benchmark", "attention", *sizes, "--threads", 1)
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines()]
    assert len(rows) == 12 and rows[2][3:] == ["eager", "fused", "reduced", "ours", "blocks |"]
    with pytest.raises(SystemExit, match="--hidden_size is 33; expected a multiple"):
        main("benchmark", "attention", "--hidden_size", 33)
    sizes = ["--utterances", 30, "--frames", 80, "--units", 8, "--successors", 4, "--pieces", 30]
    main("benchmark", "acoustic_pieces", *sizes, "--no-progress", "--peer")
    out = capsys.readouterr().out
    assert "train: 30 pieces" in out and "tokenizers: 30 pieces" in out
    with pytest.raises(SystemExit, match="got the part 'speeds'; expected one of speed, att"):
        main("benchmark", "speeds")


def test_files_that_both_passes_skip_are_counted_once(tmp_path, main, speech, capsys):
    corpus = tmp_path / "corpus"
    shutil.copytree(speech, corpus)
    soundfile.write(corpus / "silent.wav", np.zeros(32000), 16000)
    common = ["--units", "mfcc", "--corpus", corpus, "--num_clusters", 10, "--vocab_size", 0,
              "--device", "cpu"]  # fmt: skip
    main("make_pseudo_labels", *common, "--output_dir", tmp_path / "labels")
    out = capsys.readouterr().out
    assert "12 utterances" in out and "2 skipped: " in out and out.count("silent.wav") == 1
    (corpus / "broken.wav").unlink()  # strict loading of the headers would stop there
    with pytest.raises(SystemExit, match="silent.wav is silent"):
        main("make_pseudo_labels", *common, "--output_dir", tmp_path / "x", "--strict", "true")
    assert not (tmp_path / "x" / "units").exists()
    assert not (tmp_path / "x" / "units.partial").exists()  # k-means stopped already


def test_rspin_without_noise_must_be_asked_for(tmp_path, main, encoder, speech):
    common = ["--encoder", encoder, "--corpus", speech, "--output_dir", tmp_path / "x"]
    with pytest.raises(SystemExit, match="no noise was given.*--without_noise true"):
        main("train_rspin", *common)
    with pytest.raises(SystemExit, match="leave out one of them"):
        main("train_rspin", *common, "--noise", speech, "--without_noise", "true")
    assert not (tmp_path / "x").exists()


def test_one_run_at_a_time_makes_labels_in_a_folder(tmp_path, main, speech):
    common = ["--corpus", speech, "--units", "mfcc", "--num_clusters", 4, "--vocab_size", 0,
              "--device", "cpu", "--output_dir", tmp_path]  # fmt: skip
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="is in use by another run"):
            main("make_pseudo_labels", *common)
    assert not (tmp_path / "units").exists() and not (tmp_path / "kmeans").exists()
    main("make_pseudo_labels", *common)
    assert len(FrameLabels.load(tmp_path / "units")) == 12


def test_labels_know_their_model_by_its_weights_and_its_input(tmp_path, main, encoder, speech):
    shutil.copytree(encoder, tmp_path / "moved")
    common = ["--corpus", speech, "--units", "layer", "--layer", 1, "--num_clusters", 4,
              "--vocab_size", 0, "--device", "cpu", "--output_dir",
              tmp_path / "labels"]  # fmt: skip
    main("make_pseudo_labels", *common, "--model", encoder)
    main("make_pseudo_labels", *common, "--model", tmp_path / "moved")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "moved")
    with pytest.raises(SystemExit, match=r"made from normalize False \(now True\): name another"):
        main("make_pseudo_labels", *common, "--model", tmp_path / "moved")


def test_labels_of_other_settings_are_not_taken_for_these(tmp_path, main, encoder, speech):
    common = ["--corpus", speech, "--units", "mfcc", "--vocab_size", 0, "--device", "cpu",
              "--output_dir", tmp_path]  # fmt: skip
    main("make_pseudo_labels", *common, "--num_clusters", 10)
    units = FrameLabels.load(tmp_path / "units")
    main("make_pseudo_labels", *common, "--num_clusters", 10)
    (tmp_path / "kmeans" / "kmeans.json").unlink()  # killed before k-means was saved
    shutil.rmtree(tmp_path / "units")
    main("make_pseudo_labels", *common, "--num_clusters", 10)
    again = FrameLabels.load(tmp_path / "units")
    assert len(again) == 12 and all((again[name] == units[name]).all() for name in units)
    with pytest.raises(SystemExit, match=r"made from num_clusters 10 \(now 12\): name another"):
        main("make_pseudo_labels", *common, "--num_clusters", 12)
    shutil.rmtree(tmp_path / "units")  # its k-means is as wrong
    loud = tmp_path / "loud"
    loud.mkdir()
    for file in speech.glob("*.flac"):
        samples, rate = soundfile.read(file)
        soundfile.write(loud / file.name, 0.5 * samples, rate)
    for change in (["--num_clusters", 12], ["--num_clusters", 10, "--corpus", loud],
                   ["--units", "layer", "--layer", 2, "--model", encoder],
                   ["--num_clusters", 10, "--corpus", sample_folder()]):  # fmt: skip
        with pytest.raises(SystemExit, match="holds kmeans made from"):
            main("make_pseudo_labels", *common, *change)
