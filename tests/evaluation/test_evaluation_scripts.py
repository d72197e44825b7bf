"""The scripts as a user runs them."""

import inspect
import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from hf_rspin.commands import align, analyse, evaluate
from hf_rspin.data.phone_times import parse_alignment
from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.reading import read_split
from hf_rspin.resources import sample_folder


@pytest.fixture
def folder(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder")
    return tmp_path


@pytest.fixture
def speech(tmp_path):
    """Ten utterances of two voices; metadata as in the sample."""
    table = pd.read_csv(sample_folder() / "metadata.csv")
    table = table[table["speaker"].isin(["Andrea", "f2"])]
    for split in ("train", "test"):
        (tmp_path / "speech" / split).mkdir(parents=True)
    for name in table["file_name"]:
        shutil.copy(sample_folder() / name, tmp_path / "speech" / name)
    table.to_csv(tmp_path / "speech" / "metadata.csv", index=False)
    return tmp_path / "speech"


def options(folder, speech, *more):
    return [
        "--encoders", "mfcc", folder / "encoder", "--corpus", speech, "--output_dir",
        folder / "out", "--num_units", 8, "--num_updates", 4, "--batch_size", 2,
        "--num_workers", 1, "--simulated_rooms", 0, *more,
    ]  # fmt: skip


def test_a_plain_folder_of_audio_gives_what_needs_no_labels(main, folder, speech, capsys):
    (speech / "metadata.csv").unlink()
    main("evaluate_encoders", *options(folder, speech, "--snr_db", 0, 20))  # former names
    out = capsys.readouterr().out
    for sentence in ("Phone recognition is left out", "no speaker names", "no phone alignment"):
        assert out.count(sentence) == 1
    table = pd.read_csv(folder / "out" / "results.csv")
    assert set(table["probe"]) == {"cka", "units", "geometry", "cost"}
    assert {"cka_debiased", "unit_agreement", "alignment", "uniformity"} <= set(table["metric"])
    cka = table[table["metric"] == "cka_debiased"].set_index(["encoder", "snr_db", "layer"])
    assert len(cka) == 2 * (1 + 3)
    assert cka["value"]["mfcc", 20.0, 0] > cka["value"]["mfcc", 0.0, 0]
    page = (folder / "out" / "report.html").read_text()
    assert "no phone alignment" in page and "gaussian, 20 dB" in page
    assert "gaussian, 20 dB" in (folder / "out" / "results.md").read_text()


def test_long_recordings_are_measured_in_parts(main, folder, speech):
    rng = np.random.default_rng(0)
    (folder / "long").mkdir()
    envelope = np.where(np.arange(70 * 16000) % 48000 < 3200, 0, 0.1)  # a pause every 3 s
    soundfile.write(folder / "long" / "a.flac", envelope * rng.normal(size=70 * 16000), 16000)
    main("evaluate", *options(folder, folder / "long", "--probes", "cka"))
    table = pd.read_csv(folder / "out" / "results.csv")
    assert not table.empty
    arguments = EvaluationScriptArguments(corpus=str(folder / "long"))
    parts = read_split(arguments, None, None, keep=False)
    assert len(parts) >= 5 and all(len(parts.read(i)) <= 17 * 16000 for i in range(len(parts)))
    arguments.segment_seconds = 0
    assert len(read_split(arguments, None, None, keep=False)) == 1


def test_labels_add_what_needs_them_and_a_second_call_measures_nothing(
    main, folder, speech, capsys, caplog
):
    arguments = options(folder, speech, "--speakers_from", "train")
    main("evaluate", *arguments)
    table = pd.read_csv(folder / "out" / "results.csv")
    rates = table[table["metric"] == "phone_error_rate"]
    assert len(rates) == 4 and rates[["low", "high"]].notna().all(axis=None)
    assert {"pnmi", "speaker_accuracy", "layer_weight", "phone_error_rate_difference"} <= set(
        table["metric"]
    )
    files = {file: file.stat().st_mtime_ns for file in (folder / "out" / "cells").iterdir()}
    capsys.readouterr()
    main("evaluate", *arguments)
    assert files == {f: f.stat().st_mtime_ns for f in (folder / "out" / "cells").iterdir()}
    pd.testing.assert_frame_equal(table, pd.read_csv(folder / "out" / "results.csv"))
    assert "Phones recognised from frozen features" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["train", "none"])
def test_probes_do_not_learn_from_what_they_are_measured_on(main, folder, speech, capsys, split):
    arguments = ["--probes", "linear_phones", "units", "--conditions", "clean"]
    main("evaluate", *options(folder, speech, *arguments, "--test_split", split))
    out = capsys.readouterr().out
    assert "training utterances are measured too (the same audio): nothing is learned at all" in out
    assert "what learns without labels (units) learns on the test utterances" in out
    assert set(pd.read_csv(folder / "out" / "results.csv")["probe"]) == {"units"}


def test_another_precision_is_refused_with_the_option_to_give(main, folder, speech):
    arguments = options(folder, speech, "--probes", "units", "--conditions", "clean")
    main("evaluate", *arguments, "--bf16", "false")
    with pytest.raises(SystemExit, match="in float32, and this is bfloat16: give --bf16 false"):
        main("evaluate", *arguments, "--bf16")
    main("evaluate", *arguments, "--no_bf16")
    main("evaluate", *arguments)


def test_the_report_is_there_whichever_encoder_fails(main, folder, speech, encoder):
    arguments = options(folder, speech, "--probes", "units", "--conditions", "clean")
    main("evaluate", *arguments)
    (folder / "out" / "results.json").unlink()
    with torch.no_grad():
        encoder.encoder.layers[-1].final_layer_norm.weight.mul_(1e6)
    encoder.save_pretrained(folder / "broken")
    arguments[1:3] = [*arguments[1:3], folder / "broken"]
    with pytest.raises(SystemExit, match="more than float16 holds"):
        main("evaluate", *arguments)
    found = json.loads((folder / "out" / "results.json").read_text())
    assert found["encoders"] == ["mfcc", "encoder"]


def test_the_same_audio_under_two_names_is_not_learned_from(main, folder, speech, capsys):
    table = pd.read_csv(speech / "metadata.csv")
    row = table[table["split"] == "test"].iloc[0].copy()
    shutil.copy(speech / row["file_name"], speech / "train" / "again.flac")
    row["file_name"], row["split"] = "train/again.flac", "train"
    table.loc[len(table)] = row
    table.to_csv(speech / "metadata.csv", index=False)
    count = (table["split"] == "train").sum()
    main("evaluate", *options(folder, speech, "--probes", "units", "--conditions", "clean"))
    said = f"1 of {count} training utterances are measured too (the same audio): nothing is learned"
    assert said + " from them." in capsys.readouterr().out
    cell = json.loads(next((folder / "out" / "cells").glob("*.json")).read_text())
    assert cell["about"]["num_train"] == count - 1


def joined(folder, speech):
    """A recording of 71 s made of utterances three times, with the times of all phones."""
    long = folder / "joined"
    long.mkdir()
    audio, entries, position = [], [], 0.0
    table = pd.read_csv(speech / "metadata.csv")
    for row in [*table.itertuples()] * 3:
        samples, _ = soundfile.read(speech / row.file_name, dtype="float32")
        audio += [samples, np.zeros(4800, dtype=np.float32)]
        entries += [
            (one.phone, position + one.start, position + one.end)
            for one in parse_alignment(row.alignment, len(samples) / 16000)
            if one.phone != "SIL"
        ]
        position += (len(samples) + 4800) / 16000
    assert position > 60
    soundfile.write(long / "a.flac", np.concatenate(audio), 16000)
    phones, starts, ends = (list(column) for column in zip(*entries, strict=True))
    said = {"file_name": "a.flac", "phones": phones, "phone_starts": starts, "phone_ends": ends}
    (long / "alignments.jsonl").write_text(json.dumps(said) + "\n")
    return long, phones


@pytest.mark.parametrize("kind", ["alignments", "phones"])
def test_times_of_long_recordings_are_those_of_their_parts(main, folder, speech, caplog, kind):
    long, phones = joined(folder, speech)
    phones = " ".join(phones if kind == "alignments" else phones[:-1])
    pd.DataFrame([{"file_name": "a.flac", "phones": phones}]).to_csv(
        long / "metadata.csv", index=False
    )
    with caplog.at_level(logging.INFO):
        main("evaluate", *options(folder, long, "--probes", "units", "--conditions", "clean"))
    found = pd.read_csv(folder / "out" / "results.csv")
    assert (found["metric"] == "pnmi").any()
    arguments = EvaluationScriptArguments(corpus=str(long))
    parts = read_split(arguments, None, None, keep=False)
    arguments.segment_seconds = 0
    whole = read_split(arguments, None, None, keep=False)
    named = sum((labels.tolist() for labels in parts.frame_labels()), [])
    spoken = sum(label >= 0 for label in named)
    assert spoken == pytest.approx(int((whole.frame_labels()[0] >= 0).sum()), rel=0.02)
    cell = json.loads(next((folder / "out" / "cells").glob("units*.json")).read_text())
    assert cell["about"]["labelled"]["times of phones"] == len(parts) > 3
    assert ("parts that have no phones" in caplog.text) is (kind == "phones")


def test_labels_of_parts_of_long_recordings_are_compared_with_their_phones(main, folder, speech):
    long, phones = joined(folder, speech)
    main("make_pseudo_labels", "--units", "mfcc", "--num_clusters", 8, "--vocab_size", 0,
         "--corpus", long, "--output_dir", folder / "labels")  # fmt: skip
    labels = next(path.parent for path in (folder / "labels").rglob("frame_labels.json"))
    main("analyse", "--labels", labels, "--corpus", long, "--what", "segmentation",
         "--output_dir", folder / "out")  # fmt: skip
    tables = json.loads((folder / "out" / "results.json").read_text())["tables"]
    (rows,) = tables.values()
    assert int(rows[0]["utterances"]) > 3 and float(rows[0]["PNMI"]) > 0.05


def test_tuning_hears_neither_test_speakers_nor_recorded_noise(main, folder, speech):
    arguments = ["--probes", "cka", "units", "--dev", "true", "--noise", "synthetic", "--snr", 5]
    main("evaluate", *options(folder, speech, *arguments))
    cell = json.loads(next((folder / "out" / "cells").glob("*.json")).read_text())
    table = pd.read_csv(speech / "metadata.csv")
    train = table[table["split"] == "train"]
    assert cell["about"]["num_test"] + cell["about"]["num_train"] == len(train)
    assert cell["about"]["num_test"] in train["speaker"].value_counts().tolist()
    found = pd.read_csv(folder / "out" / "results.csv")
    assert {"noise_seen", "noise_unseen", "gaussian"} <= set(found["condition"])


def test_results_are_one_json_too_and_every_cell_knows_its_cost(main, folder, speech):
    main("evaluate", *options(folder, speech, "--probes", "pr", "cka", "--seeds", 2))
    found = json.loads((folder / "out" / "results.json").read_text())
    assert found["about"]["corpus"] == "speech" and found["about"]["num_test"] > 0
    rates = [row for row in found["rows"] if row["metric"] == "phone_error_rate"]
    assert {row["seed"] for row in rates} == {0, 1} and "layer" not in rates[0]
    (mean,) = [row for row in found["over_seeds"] if row["metric"] == "phone_error_rate"
               and (row["encoder"], row["condition"]) == ("encoder", "clean")]  # fmt: skip
    assert mean["num_seeds"] == 2 and mean["spread"] >= 0
    assert found["metrics"]["phone_error_rate"]["better"] == "lower"
    cells = [json.loads(f.read_text()) for f in (folder / "out" / "cells").glob("*.json")]
    for cell in cells:
        cost = cell["about"]["cost"]
        assert cost["processed_hours"] > 0 and cost["wall_seconds"] > 0
        assert cost["energy_method"] in ("nvml", "rapl", "estimated", "none")
        has_network = cell["encoder"] == "encoder"
        assert (cost["forward_gflops_per_second_of_speech"] is not None) == has_network


def test_what_cannot_be_made_is_left_out_and_captions_say_what_conditions_are(
    main, folder, speech, capsys
):
    more = ["--probes", "cka", "--conditions", "lowpass", "babble", "--severities", "4"]
    main("evaluate", *options(folder, speech, *more, "--test_utterances", 3))
    text = (folder / "out" / "results.md").read_text()
    assert "- The condition babble is left out: got babble of 4 voices" in text
    assert "lowpass 4 (below 500 Hz)" in text.split("\n\n")[1]
    assert text.startswith("# Frozen speech encoders") and "### Cost of this evaluation" in text
    table = pd.read_csv(folder / "out" / "results.csv")
    assert set(table["condition"]) == {"lowpass_4"}  # of clean speech CKA says nothing
    assert "lowpass 4 (below 500 Hz)" in (folder / "out" / "report.html").read_text()


def test_help_lists_what_there_is_to_choose_from(main, capsys):
    with pytest.raises(SystemExit):
        main("evaluate", "--help")
    text = capsys.readouterr().out
    for name in ("segmentation", "packet_loss_burst1", "below 4000 | 2000"):
        assert name in text
    for module in (evaluate, analyse, align):  # what --help begins with
        intro = inspect.cleandoc(module.__doc__)
        assert "\\\n        --" in intro and max(map(len, intro.split("\n"))) <= 100


def test_a_corpus_without_a_training_split_trains_nothing(main, folder, speech):
    table = pd.read_csv(speech / "metadata.csv")
    table[table["split"] == "test"].to_csv(speech / "metadata.csv", index=False)
    main("evaluate", *options(folder, speech, "--probes", "cka", "units", "pr"))
    table = pd.read_csv(folder / "out" / "results.csv")
    assert set(table["probe"]) == {"cka", "units"} and "pnmi" in set(table["metric"])


def test_mistakes_are_said_in_one_sentence(main, folder, speech):
    for more, message in (
        (["--probes", "cka", "wer"], "got --probes wer; expected some of pr, asr, linear_phones"),
        (["--test_split", "gone"], "no row with split 'gone'"),
        (["--train_split", "gone"], "no row with split 'gone'"),
        (["--num_units", "1"], "got num_units 1"),
        (["--names", "a", "a"], "give --names, all different"),
        (["--speakers_from", "dev"], "got learn_from 'dev'"),
        (["--device", "gpu"], "device 'gpu' cannot be used"),
        (["--conditions", "clean", "hiss"], "got the condition 'hiss', expected some of clean"),
        (["--conditions", "noise_seen"], "condition noise_seen needs a folder of noise"),
        (["--probes", "linear_phone"], "did you mean linear_phones"),
        (["--conditions", "clean", "gausian"], "did you mean gaussian"),
        (["--output_dir", speech / "metadata.csv" / "x"], "cannot be written .*csv is a file"),
        (["--asr_normalization", "german"], "got --asr_normalization 'german'; expected whisper"),
        (["--seeds", "0"], "got --seeds 0; expected how many, 1 or more"),
        (["--shard", "2", "--num_shards", "2"], "got shard 2 of 2; expected 0 to 1"),
        (["--reference", "gone"], "got --reference 'gone'; expected one of mfcc, encoder"),
    ):
        with pytest.raises(SystemExit, match=message):
            main("evaluate", *options(folder, speech, *more))
    with pytest.raises(SystemExit, match="give --encoders and --corpus"):
        main("evaluate", "--corpus", speech)
    assert not (folder / "out").exists()


def test_a_lexicon_gives_phones_to_texts_and_an_snr_without_noise_is_named(
    main, folder, speech, caplog
):
    table = pd.read_csv(speech / "metadata.csv").drop(columns="phones")
    table["text"] = ["One, two!" if k % 3 else "two three" for k in range(len(table))]
    table.to_csv(speech / "metadata.csv", index=False)
    more = ["--probes", "pr", "--conditions", "clean", "--snr", 5]
    lexicon = folder / "lexicon.txt"
    lexicon.write_text("ONE  W AH1 N\nTWO  T UW1\n")
    main("evaluate", *options(folder, speech, *more, "--lexicon", lexicon))
    assert "utterances have no phones, as the lexicon lacks words of them (three)" in caplog.text
    assert "--snr changes nothing here, as no condition has noise (clean)" in caplog.text
    rates = pd.read_csv(folder / "out" / "results.csv")
    assert "phone_error_rate" in set(rates["metric"])
    assert "phones of lexicon.txt" in (folder / "out" / "results.md").read_text()
    lexicon.write_text("eins  AY N S\n")
    with pytest.raises(SystemExit, match="give a lexicon of this language"):
        main("evaluate", *options(folder, speech, *more, "--lexicon", lexicon))
    table.drop(columns="text").to_csv(speech / "metadata.csv", index=False)
    with pytest.raises(SystemExit, match="has no column text"):
        main("evaluate", *options(folder, speech, *more, "--lexicon", lexicon))


def test_features_without_a_model_are_retrieved_too(main, folder, speech, capsys):
    table = pd.read_csv(speech / "metadata.csv")
    table["word"] = table["speaker"]
    table.to_csv(speech / "metadata.csv", index=False)
    main("evaluate_retrieval", "--corpus", speech, "--encoders", "log-mel", folder / "encoder")
    rows = [line for line in capsys.readouterr().out.split("\n") if line.startswith("|")]
    assert rows[2].startswith("| log-mel | -1 |") and len(rows) == 4
    with pytest.raises(SystemExit, match="--layers has 1; log-mel has hidden states 0 to 0"):
        main("evaluate_retrieval", "--corpus", speech, "--encoders", "log-mel", "--layers", 1)
