"""`hf-rspin push --dry_run`: what would go up, file by file, and nothing changes."""

import json
import shutil

import pytest
import torch
from transformers import HubertConfig

from hf_rspin import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.commands import evaluate
from hf_rspin.commands.push import main
from hf_rspin.evaluation.card_results import results_for_card
from hf_rspin.hub import set_license, set_results
from hf_rspin.publishing.card_file import is_untouched
from hf_rspin.publishing.upload import files_to_upload
from hf_rspin.resources import sample_folder


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    tiny = HubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    config = RSpinHubertConfig(**tiny.to_dict(), codebook_size=8, projection_size=8)
    RSpinHubertModel(config).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "checkpoint-3").mkdir()
    (tmp_path / "model" / "training_args.bin").write_bytes(b"a pickle")
    return tmp_path / "model"


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_every_file_is_listed_and_nothing_is_sent_or_changed(folder, capsys):
    before = state(folder)
    main([str(folder), "owner/name", "--dry_run", "--private", "--license", "mit"])
    said = capsys.readouterr().out
    names = {str(name) for name in files_to_upload(folder)}
    listed = {line.split(" kB  ")[1] for line in said.splitlines() if " kB  " in line}
    assert listed == names | {f"in {len(names)} files"} and "model.safetensors" in names
    assert "Stays here: checkpoint-3, training_args.bin" in said and "Licence: mit" in said
    assert "owner/name (private" in said and said.endswith("Nothing was uploaded or changed.\n")
    assert state(folder) == before


def test_a_folder_that_lacks_something_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match="model"):
        main([str(folder), "owner/name", "--dry_run"])


@pytest.mark.parametrize("name", ["owner name", "a/b/c", "owner/na me"])
def test_a_name_that_no_repository_can_have_is_refused_in_a_dry_run_too(folder, name):
    with pytest.raises(SystemExit, match="is no name of a repository .*; expected owner/name"):
        main([str(folder), name, "--dry_run"])


def test_what_was_measured_of_these_weights_goes_into_the_card(folder, tmp_path, capsys):
    speech = tmp_path / "speech"
    speech.mkdir()
    for file in sorted((sample_folder() / "test").glob("*.flac"))[:3]:
        shutil.copy(file, speech)
    evaluate.main([
        "--encoders", str(folder), "mfcc", "--corpus", str(speech), "--probes", "cka",
        "--conditions", "gaussian", "--output_dir", str(tmp_path / "measured"),
        "--num_workers", "1",
    ])  # fmt: skip
    capsys.readouterr()
    before = state(folder)
    results = results_for_card(tmp_path / "measured", folder)
    assert "3 utterances; `model` is this model, mfcc stands beside it" in results
    assert "| CKA, gaussian | mfcc | " in results and "| CKA, gaussian | model | " in results
    main([str(folder), "owner/name", "--dry_run", "--results", str(tmp_path / "measured")])
    assert results in capsys.readouterr().out and state(folder) == before
    for _ in range(2):  # once, however often it is written
        set_results(folder, results)
        card = (folder / "README.md").read_text()
        assert card.count(results) == 1 and is_untouched(card)
        assert "Evaluations: not recorded" not in card
        assert card.index("## Results") < card.index(results) < card.index("## Limits")
    (folder / "README.md").write_text(card + "mine")
    with pytest.raises(ValueError, match="edited by hand; write into its section Results"):
        set_results(folder, results)
    model = RSpinHubertModel.from_pretrained(folder)
    with torch.no_grad():
        next(model.hubert.encoder.layers.parameters()).add_(0.1)
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match="measured .*, none with the weights of"):
        results_for_card(tmp_path / "measured", folder)
    with pytest.raises(SystemExit, match="holds no results; expected a folder of"):
        main([str(folder), "owner/name", "--dry_run", "--results", str(speech)])


def test_the_card_holds_the_newest_table_and_no_other_cells_of_the_folder(folder, tmp_path):
    speech, out = tmp_path / "speech", tmp_path / "measured"
    speech.mkdir()
    files = sorted((sample_folder() / "test").glob("*.flac"))

    def measure(count, *more):
        for file in files[:count]:
            shutil.copy(file, speech)
        evaluate.main([
            "--encoders", "log-mel", "mfcc", str(folder), "--corpus", str(speech), "--probes",
            "cka", "--conditions", "gaussian", "--output_dir", str(out), "--num_workers", "1",
            *more,
        ])  # fmt: skip

    measure(3)
    assert "log-mel stands beside it" in results_for_card(out, folder)
    measure(6, "--reference", "mfcc")
    results = results_for_card(out, folder)
    assert "6 utterances; `model` is this model, mfcc stands beside it" in results
    rows = json.loads((out / "results.json").read_text())["rows"]
    values = [f"{row['value']:.3f}" for row in rows
              if row["encoder"] == "model" and row["metric"] == "cka_debiased"]  # fmt: skip
    assert any(value in results for value in values)
    assert len(list((out / "cells").glob("*.json"))) == 2 * 3
    (out / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="does not say which of its results make a table: repeat"):
        results_for_card(out, folder)


def test_what_cannot_be_added_to_the_card_is_said_in_a_dry_run_too(folder):
    set_license(folder, "apache-2.0")
    before = state(folder)
    for more in ([], ["--dry_run"]):
        with pytest.raises(SystemExit, match="names 'apache-2.0'"):
            main([str(folder), "owner/name", "--license", "mit", *more])
    assert state(folder) == before
