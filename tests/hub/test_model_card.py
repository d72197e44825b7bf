"""Model cards: true, readable, valid for the Hub, and never written over a person's words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from transformers import HubertConfig, HubertForCTC

from hf_rspin.hub import ModelCardInfo, write_card
from hf_rspin.models import (
    SCORE_SETTINGS,
    LaserWavLMConfig,
    RSpinHubertConfig,
)
from hf_rspin.publishing.card_file import addressed, is_untouched, sign, with_metadata
from hf_rspin.publishing.model_card import make_card

from .conftest import SIZES

TEMPLATE = Path(__file__).parents[2] / "model_cards" / "template.md"
CONFIG = RSpinHubertConfig(codebook_size=32, num_pseudo_labels=1000)
RESULTS = [
    EvalResult(
        task_type="automatic-speech-recognition", dataset_type="user/speech", dataset_split="test",
        dataset_name="Speech", metric_type="per", metric_name="phone error rate, %",
        metric_value=71.2,
    ),
    EvalResult(
        task_type="feature-extraction", dataset_type="speech", dataset_split="train",
        dataset_name="speech", metric_type="loss", metric_value=2.5,
    ),
]  # fmt: skip
FACTS = ModelCardInfo(
    name="rspin_small", base_model="facebook/hubert-base-ls960", license="apache-2.0",
    language="en", datasets=["openslr/librispeech_asr"], training_data="LibriSpeech, 100 h.",
    recipe={"max_steps": 1000, "encoder_config": {"hidden_dropout": 0.0}}, updates=1000,
    processed_hours=7.53, hardware="2 x NVIDIA H100", wall_seconds=8100, results=RESULTS,
    limits="English only.", tags=["robust"],
)  # fmt: skip


def sections(text):
    pattern = r"^## (.+?)\n\n(.*?)(?=\n## |\n<!--|\Z)"
    return dict(re.findall(pattern, text, re.DOTALL | re.MULTILINE))


def test_metadata_says_what_is_known():
    data = ModelCard(make_card(CONFIG, FACTS)).data
    assert (data.license, data.language, data.library_name) == ("apache-2.0", "en", "transformers")
    assert data.base_model == "facebook/hubert-base-ls960"
    assert data.datasets == ["openslr/librispeech_asr"]
    assert data.pipeline_tag == "feature-extraction"
    assert data.tags == ["hubert", "r-spin", "speech", "robust"]


def test_the_model_index_makes_a_round_trip():
    text = make_card(CONFIG, FACTS)
    head = yaml.safe_load(text.split("---")[1])
    name, results = model_index_to_eval_results(head["model-index"])
    assert name == "rspin_small" and results == RESULTS
    again = ModelCard(str(ModelCard(text)))
    assert again.data.eval_results == RESULTS and again.data.model_name == "rspin_small"


def test_a_reader_finds_the_facts():
    found = sections(make_card(CONFIG, FACTS, has_pieces=True))
    assert found["Training data"].strip() == "LibriSpeech, 100 h."
    assert "  hidden_dropout: 0.0" in found["Recipe"]
    for line in ("- updates: 1,000", "- hours of speech processed: 7.53",
                 "- hardware: 2 x NVIDIA H100", "- duration: 2.25 hours"):  # fmt: skip
        assert line in found["Recipe"]
    evaluated, trained = found["Results"].split("At the end of training")
    assert "| Speech test | phone error rate, % | 71.2 |" in evaluated
    assert "| speech train | loss | 2.5 |" in trained
    assert "acoustic_pieces.json" in found["Use"] and "trust_remote_code=True" in found["Use"]
    assert "768" in found["Use"] and "50 frames per second" in found["Use"]


def test_what_is_not_known_is_not_invented():
    text = make_card(CONFIG, ModelCardInfo())
    data = ModelCard(text).data.to_dict()
    assert data.keys() == {"library_name", "pipeline_tag", "tags"}
    found = sections(text)
    assert all("not recorded" in found[name] for name in found if name != "Use")
    assert found["Recipe"].count("not recorded") == 6
    assert "acoustic_pieces.json" not in text


def test_values_that_json_cannot_hold_stay_out_of_the_metadata():
    facts = replace(FACTS, results=[replace(RESULTS[1], metric_value=float("nan"))])
    text = make_card(CONFIG, facts)
    assert "model-index" not in text and "| nan |" in text


@pytest.mark.parametrize(
    ("config", "method"),
    [
        (RSpinHubertConfig(), "Spin"),
        (CONFIG, "R-Spin"),
        (LaserWavLMConfig(), "LASER"),
        (LaserWavLMConfig(**SCORE_SETTINGS["wavlm"]), "SCORE"),
    ],
)
def test_the_method_is_read_from_the_config(config, method):
    text = make_card(config, FACTS)
    assert f"trained from facebook/hubert-base-ls960 with {method}" in text
    assert method.lower() in ModelCard(text).data.tags


def test_a_recogniser_and_an_adapter_are_used_otherwise():
    config = HubertForCTC(HubertConfig(**SIZES, architectures=["HubertForCTC"])).config
    recogniser = ModelCard(make_card(config, FACTS))
    assert recogniser.data.pipeline_tag == "automatic-speech-recognition"
    assert 'pipeline("automatic-speech-recognition"' in recogniser.text
    adapter = ModelCard(make_card(CONFIG, replace(FACTS, adapter="lora")))
    assert adapter.data.library_name == "peft" and "LORA adapter for a HuBERT" in adapter.text
    assert "load_adapted" in adapter.text


def test_the_sections_are_those_of_the_template():
    assert list(sections(make_card(CONFIG, FACTS))) == list(sections(TEMPLATE.read_text()))


@pytest.mark.parametrize("card", sorted(TEMPLATE.parent.glob("*.md")), ids=lambda path: path.stem)
def test_cards_in_the_repository_have_metadata_that_the_hub_takes(card):
    data = ModelCard.load(card).data
    assert data.library_name == "transformers" and data.license
    assert data.base_model is None or re.fullmatch(r"[\w.-]+/[\w.-]+", data.base_model)


# the file


def test_a_newer_card_replaces_one_that_nobody_touched(tmp_path):
    path = write_card(tmp_path, CONFIG)
    assert path == tmp_path / "README.md" and f"# {tmp_path.name}" in path.read_text()
    write_card(tmp_path, CONFIG, FACTS)
    assert "# rspin_small" in path.read_text() and is_untouched(path.read_text())
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("edit", ["by hand", "one word", "another editor's line ends"])
def test_a_card_that_a_person_touched_stays(tmp_path, edit):
    path = write_card(tmp_path, CONFIG, FACTS)
    text = {
        "by hand": "# My model\n",
        "one word": path.read_text().replace("English only.", "English and French."),
        "another editor's line ends": path.read_text().replace("English", "French") + "\n",
    }[edit]
    path.write_text(text)
    beside = write_card(tmp_path, CONFIG, FACTS)
    assert path.read_text() == text
    assert beside == tmp_path / "README.generated.md" and is_untouched(beside.read_text())


def test_an_untouched_card_gets_its_address_and_metadata():
    text = sign(make_card(CONFIG, replace(FACTS, license=None)))
    new = with_metadata(addressed(text, "user/name"), {"license": "mit", "language": "fr"})
    data = ModelCard(new).data
    assert (data.license, data.language) == ("mit", "en") and is_untouched(new)
    assert new.count('"user/name"') == 3 and "owner/name-or-folder" not in new
    own = "---\nlicense: mit\n---\nowner/name-or-folder\n"
    assert with_metadata(addressed(own, "user/name"), {"language": "fr"}) == own
