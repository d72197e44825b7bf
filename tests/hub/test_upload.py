"""Uploads by the real client to a Hub on loopback: complete or not at all, and refused clearly."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from hf_rspin.hub import UploadError, push_to_hub
from hf_rspin.publishing.card_file import is_untouched
from hf_rspin.publishing.model_card import ADDRESS
from hf_rspin.publishing.upload import files_to_upload

from .conftest import HAND_WRITTEN, TOKEN


def card_of(repo, commit=-1):
    return repo.commits[commit].files["README.md"].decode()


def test_a_model_arrives_whole_and_in_one_commit(published, hub):
    repo = hub.repos["user/rspin"]
    _, first, *_ = repo.commits
    assert published["model"] == f"{hub.endpoint}/user/rspin/commit/{first.oid}"
    files = first.files
    config = json.loads(files["config.json"])
    assert config["model_type"] == "hubert" and config["codebook_size"] == 8
    assert config["auto_map"] == {"AutoModel": "modeling_spin.RSpinModel"}
    assert json.loads(files["preprocessor_config.json"])["do_normalize"] is False
    assert json.loads(files["acoustic_pieces.json"])["units"] == [1, 2, 3]
    assert {"model.safetensors", "modeling_spin.py", "configuration.py"} <= files.keys()
    assert not any(name.startswith("soft_dtw") for name in files)  # what LASER alone needs
    assert not any("/" in name or b"from hf_rspin" in files[name] for name in files)


def test_the_card_arrives_with_metadata_and_addresses(published, hub):
    repo = hub.repos["user/laser"]
    assert repo.private and not hub.repos["user/rspin"].private
    text = card_of(repo)
    data = ModelCard(text).data
    assert (data.license, data.base_model, data.model_name) == ("apache-2.0", "user/base", "laser")
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("per", 71.2)
    assert 'from_pretrained("user/laser", trust_remote_code=True)' in text
    assert ADDRESS not in text and is_untouched(text)


def test_save_pretrained_can_upload(published, hub):
    assert hub.repos["user/saved"].files.keys() == hub.repos["user/laser"].files.keys()


def test_the_script_checks_uploads_and_says_where(published, hub):
    repo = hub.repos["user/spin"]
    assert published["script"].startswith(f"{hub.endpoint}/user/spin ")
    assert [commit.title for commit in repo.commits] == ["initial commit", "v1"]
    assert ModelCard(card_of(repo)).data.license == "mit"
    assert published["incomplete"].startswith("exit: ")
    assert "no weights (model.safetensors); no config.json" in published["incomplete"]
    assert "user/nothing" not in hub.repos


def test_a_trainer_uploads_without_its_pickles(published, hub):
    repo = hub.repos["user/run"]
    assert published["trainer"].endswith(repo.commits[-1].oid) and len(repo.commits) == 2
    assert "training_args.bin" not in repo.files and "model.safetensors" in repo.files
    assert card_of(repo).count("# run") == 1


def test_refusals_say_what_to_do(published, hub):
    login = "expected a token that may write there: run `hf auth login`, or pass token."
    assert published["no token"].endswith(f"user/mine (HTTP status 401); {login}")
    assert published["foreign"].endswith(f"other/name (HTTP status 403); {login}")
    assert "user/rspin exists and is public; expected a private" in published["public"]
    assert not {"user/mine", "other/name"} & hub.repos.keys()


def test_a_broken_upload_leaves_nothing_half_written(published, hub):
    assert "user/broken" in hub.cut  # in the middle of the weights
    repo = hub.repos["user/broken"]
    assert [commit.title for commit in repo.commits] == ["initial commit"] and not repo.files
    assert published["broken"] == (
        "UploadError: the upload to user/broken broke off (HTTP status 403); what is on the Hub "
        "did not change, as all files come in one commit: run the same again."
    )


def test_a_line_that_is_gone_for_a_moment_is_no_matter(published, hub):
    assert "user/shaky" in hub.cut and len(hub.repos["user/shaky"].commits) == 2
    assert published["shaky"].endswith(hub.repos["user/shaky"].commits[-1].oid)


def test_a_card_that_a_person_wrote_on_the_hub_stays(published, hub):
    repo = hub.repos["user/rspin"]
    assert len(repo.commits) == 4 and card_of(repo) == HAND_WRITTEN
    assert "user/rspin was written by hand and stays" in published["stderr"]
    # metadata alone, as the page for new repositories makes it, is taken over
    page = card_of(hub.repos["user/page"])
    assert ModelCard(page).data.license == "mit" and "## Recipe" in page and is_untouched(page)


def test_no_answer_and_no_file_holds_the_token(published, hub):
    assert TOKEN not in json.dumps(published)
    for repo in hub.repos.values():
        assert not any(TOKEN.encode() in data for data in repo.files.values())


def test_offline_is_said_to_be_offline(models_folder):
    with pytest.raises(UploadError, match="^user/x cannot be uploaded in offline mode: unset HF_"):
        push_to_hub(models_folder / "spin", "user/x")
    with pytest.raises(ValueError, match="Repo id must"):
        push_to_hub(models_folder / "spin", "not a name/at/all")


def test_only_what_belongs_to_a_model_is_taken(models_folder, tmp_path):
    shutil.copytree(models_folder / "rspin_hubert", tmp_path / "model")
    folder = tmp_path / "model"
    wanted = files_to_upload(folder)
    assert {"README.md", "config.json", "model.safetensors", "modeling_spin.py"} <= set(wanted)
    for name in ("notes.txt", "secrets.json", "mine.py", "diary.md", "training_args.bin"):
        (folder / name).write_text("private")
    assert files_to_upload(folder) == wanted
    (tmp_path / "passwd").write_text("private")
    (folder / "vocab.json").symlink_to(tmp_path / "passwd")
    with pytest.raises(ValueError, match="vocab.json is a link to .*passwd, outside of the folder"):
        files_to_upload(folder)
