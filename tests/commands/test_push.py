"""`hf-rspin push --dry_run`: what would go up, file by file, and nothing changes."""

import pytest
import torch
from transformers import HubertConfig

from hf_rspin import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.commands.push import main
from hf_rspin.publishing.upload import files_to_upload


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
