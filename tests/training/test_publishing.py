"""Every folder that a trainer saves is complete, its card tells the run so far."""

import json
import re

import pytest
from huggingface_hub import ModelCard

from hf_rspin.adapters import AdapterArguments
from hf_rspin.hub import check_folder
from hf_rspin.publishing.card_file import is_untouched
from hf_rspin.training import TwoViewTrainer
from hf_rspin.training.builders import pieces_of_labels
from hf_rspin.training.run import run_training
from hf_rspin.units import AcousticPieces, FrameLabels


@pytest.fixture
def make(tiny, audio, tmp_path):
    """Return a trainer of four updates, of an adapter where one is named."""

    def trainer(adapter="none", **options):
        args = tiny.tiny_arguments(tmp_path / "run", max_steps=4, save_steps=2, **options)
        model = AdapterArguments(adapter=adapter, lora_rank=2).wrap(tiny.tiny_model())
        return TwoViewTrainer(model, args, train_dataset=tiny.tiny_dataset(audio))

    return trainer


def updates(folder):
    text = (folder / "README.md").read_text()
    assert is_untouched(text)
    return int(re.search(r"- updates: (\d+)", text).group(1))


def test_checkpoints_and_the_end_have_cards_and_code(make, tmp_path):
    run_training(make())
    for name, count in (("checkpoint-2", 2), ("checkpoint-4", 4), (".", 4)):
        folder = tmp_path / "run" / name
        assert updates(folder) == count and (folder / "modeling_spin.py").is_file()
        check_folder(folder)
    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert card.data.model_name is None and not card.data.eval_results  # nothing was evaluated
    assert str(tmp_path) not in card.content


def test_the_time_of_interrupted_runs_adds_up(make, tmp_path):
    first = make()
    first.train()
    file = tmp_path / "run" / "checkpoint-2" / "trainer_state.json"
    noted = json.loads(file.read_text())
    progress = noted["stateful_callbacks"]["RunProgress"]["attributes"]
    assert 0 < progress["wall_seconds"] <= first.wall_seconds
    progress["wall_seconds"] = 7200.0
    file.write_text(json.dumps(noted))
    second = make()
    second.train(resume_from_checkpoint=str(file.parent))
    assert 7200 < second.wall_seconds < 7300
    second.save_model()
    assert "- duration: 2 hours" in (tmp_path / "run" / "README.md").read_text()


def test_a_finished_run_that_is_started_again_keeps_its_card(make, tmp_path):
    run_training(make())
    card = tmp_path / "run" / "README.md"
    before = card.read_text()
    run_training(make())
    lines = zip(before.splitlines(), card.read_text().splitlines(), strict=True)
    changed = [line for line, other in lines if line != other]
    assert all(line.startswith(("- duration", "<!-- written")) for line in changed)


@pytest.mark.parametrize("adapter", ["lora", "read"])
def test_an_adapter_has_our_card_and_not_the_template_of_peft(make, tmp_path, adapter):
    run_training(make(adapter))
    folder = tmp_path / "run"
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "peft" and f"{adapter.upper()} adapter" in card.text
    assert "[More Information Needed]" not in card.text and updates(folder) == 4
    if adapter == "lora":
        check_folder(folder / "merged")
        assert "LORA" not in (folder / "merged" / "README.md").read_text()


def test_a_card_of_a_person_survives_adapters_too(make, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    run_training(make("lora"))
    assert (folder / "README.md").read_text() == "---\nlicense: mit\n---\n# Mine\n"
    assert "LORA adapter" in (folder / "README.generated.md").read_text()


def test_pieces_of_labels_are_those_that_made_them(tmp_path):
    units = {"a": [1, 2, 1, 2, 3], "b": [3, 1, 2]}
    units = FrameLabels.from_sequences(units, 4)
    pieces = AcousticPieces.train([units[name] for name in units], 4, progress=False)
    pieces.provenance = {"model": "/home/me/runs/spin"}
    pieces.save_pretrained(tmp_path / "acoustic_pieces")
    labels = units.map(pieces.encode, pieces.num_labels)
    labels.save(tmp_path / "pieces")
    units.save(tmp_path / "units")
    found = pieces_of_labels(tmp_path / "pieces", labels)
    assert found.num_labels == pieces.num_labels and found.provenance == {"model": "spin"}
    assert pieces_of_labels(tmp_path / "units", FrameLabels.from_sequences({}, 99)) is None
    assert pieces_of_labels(tmp_path / "elsewhere" / "pieces", labels) is None
