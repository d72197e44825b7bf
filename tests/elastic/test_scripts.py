"""`train.py --objective elastic` and `search_subnet.py` as a user runs them."""

import csv
import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModel, HubertModel

from hf_rspin.elastic import SubnetSpace, extract_subnet, load_supernet
from hf_rspin.models import load_encoder
from hf_rspin.resources import sample_folder

from .conftest import SPACE

WEIGHT = "encoder.layers.0.feed_forward.output_dense.weight"


def options(start, speech, output, **changes):
    given = {
        "encoder": start, "teacher": start, "corpora": speech, "output_dir": output,
        "stage": 2, "space": json.dumps(SPACE), "max_steps": 4, "batch_seconds": 5,
        "crop_seconds": 1.5, "logging_steps": 1, "save_steps": 2, "save_total_limit": 3,
        "use_cpu": "true", "report_to": "none", "learning_rate": 1e-3, "teacher_bf16": "false",
        "disable_tqdm": "true", **changes,
    }  # fmt: skip
    found = ["--objective", "elastic"]
    for name, value in given.items():
        found += [] if value is None else [f"--{name}", str(value)]
    return found


def test_both_stages_and_a_run_that_goes_on_exactly(tmp_path, main, hubert, speech):
    one, two = tmp_path / "one", tmp_path / "two"
    main("train", *options(hubert, speech, one, stage=1, space=None, max_steps=2, hours=0.003))
    assert not (one / "elastic.json").exists() and (one / "selection.json").is_file()
    start = load_file(one / "model.safetensors")
    assert not torch.equal(start[WEIGHT], load_file(hubert / "model.safetensors")[WEIGHT])
    second = options(one, speech, two, teacher=hubert, teacher_cache=one / "teacher", hours=0.003)
    main("train", *second)
    assert SubnetSpace.load(two) == SubnetSpace.load(SPACE)
    model, report = AutoModel.from_pretrained(two, output_loading_info=True)
    assert type(model) is HubertModel
    assert not report["missing_keys"] and not report["unexpected_keys"]
    content = json.loads((two / "config.json").read_text())
    assert content["architectures"] == ["HubertModel"] and content["dtype"] == "float32"
    assert not {"teacher_dim", "subnet_space", "subnet_seed", "unmasked_weight"} & content.keys()
    assert content["apply_spec_augment"] is False
    weights = load_file(two / "model.safetensors")
    assert (weights[WEIGHT][:16, :48] != start[WEIGHT][:16, :48]).all()  # every subnet has it
    history = json.loads((two / "history.json").read_text())
    assert {"loss", "masked_l1", "used"} <= set(history[0]) and len(history) == 4
    assert len({entry["used"] for entry in history}) > 1 and history[-1]["used"] <= 1
    assert "LightHuBERT" in ModelCard.load(two / "README.md").text

    shutil.rmtree(two / "checkpoint-4")
    for file in [*two.glob("*.json"), two / "model.safetensors"]:
        file.unlink()
    main("train", *second)
    again = load_file(two / "model.safetensors")
    assert all(torch.equal(again[name], weights[name]) for name in weights)

    other = json.dumps(SPACE | {"depths": [3]})
    with pytest.raises(SystemExit, match="was trained otherwise.*space"):
        main("train", *options(one, speech, two, teacher=hubert, space=other, hours=0.003,
                               teacher_cache=one / "teacher"))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "no encoder was given; pass --encoder FOLDER"),
        ({"teacher": None}, "no teacher was given"),
        ({"corpora": None}, "no corpora was given"),
        ({"space": None}, "no space of them was given; pass --space lighthubert_base"),
        ({"space": "nowhere"}, "nowhere holds no space of subnets"),
        ({"space": "lighthubert_base"}, "heads of 64 dimensions and the encoder of 8"),
        ({"space": "{"}, "--space is no JSON"),
        ({"stage": 3}, "--stage is 3; expected 1 or 2"),
        ({"random_weights": "true"}, "stage 2 goes on from what stage 1 trained"),
        ({"mask_prob": 0}, "mask_prob is 0"),
        ({"average_layers": 9}, "average_layers is 9, but the teacher has 3 layers"),
        ({"unmasked_weight": -1}, "unmasked_weight is -1; expected 0 or more"),
        ({"unmasked_weight": "nan"}, "unmasked_weight is nan; expected 0 or more"),
        ({"student_config": '{"layerdrop": 0.1}'}, "student_config sets layerdrop to 0.1"),
        ({"max_steps": -1}, "--max_steps is -1"),
        ({"saved_dtype": "float16"}, "saved_dtype is 'float16'"),
    ],
)
def test_mistakes_are_said_in_one_sentence(tmp_path, main, hubert, speech, changes, message):
    with pytest.raises(SystemExit, match=message) as caught:
        main("train", *options(hubert, speech, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "teacher").exists()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Utterances of four training speakers of the sample, with their phones."""
    folder = tmp_path_factory.mktemp("labelled")
    with open(sample_folder() / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    names = sorted({row["speaker"] for row in rows})[:4]
    rows = [row for row in rows if row["speaker"] in names][:12]
    (folder / "train").mkdir()
    for row in rows:
        shutil.copy(sample_folder() / row["file_name"], folder / row["file_name"])
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def supernet(tmp_path, hubert):
    folder = tmp_path / "supernet"
    shutil.copytree(hubert, folder)
    SubnetSpace.load(SPACE).save(folder)
    return folder


def search(supernet, labelled, output, **changes):
    given = {
        "corpus": labelled, "output_dir": output, "max_parameters": 22e3, "population": 2,
        "generations": 2, "num_workers": 1, "metric": "pnmi",
        "probe_settings": '{"num_units": 4}', "exportable": "true", **changes,
    }  # fmt: skip
    found = [str(supernet)]
    for name, value in given.items():
        found += [f"--{name}", str(value)]
    return found


def test_a_search_keeps_what_it_measured_and_saves_the_best(tmp_path, main, supernet, labelled,
                                                            capsys):  # fmt: skip
    output = tmp_path / "search"
    main("search_subnet", *search(supernet, labelled, output))
    best = json.loads((output / "best.json").read_text())
    files = {file: file.stat().st_mtime_ns for file in (output / "subnets").glob("*.json")}
    found = [json.loads(file.read_text()) for file in files]
    within = [one for one in found if one["parameters"] <= 22e3]
    assert len(within) >= 4 and best["score"]["value"] == max(
        one["score"]["value"] for one in within if one["subnet"]["heads"] != [2, 2, 2, 2]
    )
    assert all(0 <= one["score"]["value"] <= 1 for one in found)
    encoder, space, normalize = load_supernet(supernet)
    assert normalize is False and best["measured"] == 4
    small = load_encoder(output / "best")
    assert small.num_parameters() == best["parameters"]
    assert small.config.hidden_size == best["subnet"]["width"]
    assert "of the elastic encoder supernet" in ModelCard.load(output / "best" / "README.md").text
    table = capsys.readouterr().out
    assert "phone information (PNMI)" in table and "| largest |" in table
    assert (output / "results.md").read_text().strip() == table.strip()

    main("search_subnet", *search(supernet, labelled, output))
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert capsys.readouterr().out == table
    with pytest.raises(SystemExit, match="made from layer None"):
        main("search_subnet", *search(supernet, labelled, output, layer=-1))


def test_a_subnet_is_saved_without_a_search(tmp_path, main, supernet, capsys):
    main("search_subnet", str(supernet), "--subnet", "smallest", "--output_dir", tmp_path / "s")
    assert "width 16, 2 layers" in capsys.readouterr().out
    encoder, space, _ = load_supernet(supernet)
    values = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = load_encoder(tmp_path / "s")(values).last_hidden_state
        wanted = extract_subnet(encoder, space.smallest)(values).last_hidden_state
    assert torch.equal(found, wanted)
    mixed = {"width": 24, "heads": [3, 2], "ratios": [3.0, 3.0]}
    (tmp_path / "mixed.json").write_text(json.dumps({"subnet": mixed}))
    for given, message in (
        (str(tmp_path / "mixed.json"), "layer 2 of 2 has 2 heads of 8 dimensions"),
        (json.dumps(mixed | {"width": 20}), "its width is 20; expected one of"),
        ("nowhere", "nowhere holds no subnet"),
    ):
        with pytest.raises(SystemExit, match=message):
            main("search_subnet", str(supernet), "--subnet", given, "--output_dir", tmp_path / "t")
        assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_parameters": 5e3}, "not even the smallest subnet of the space"),
        ({"metric": "beauty"}, "got the metric 'beauty'; expected one of phone"),
        ({"metric": "linear_phones"}, "linear_phones does not take this: .*num_units"),
        ({"population": 1}, "population is 1"),
        ({"layer": 99}, "layer is 99, but the shallowest subnet has 2 layers; .* 0 to 2, .* -3"),
        ({"layer": 3}, "layer is 3, but"),
        ({"layer": -99}, "layer is -99, but"),
        ({"seed": -1}, "seed is -1"),
        ({"flops_seconds": "nan"}, "flops_seconds is nan"),
    ],
)
def test_mistakes_of_a_search(tmp_path, main, supernet, labelled, changes, message):
    with pytest.raises(SystemExit, match=message) as caught:
        main("search_subnet", *search(supernet, labelled, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_an_encoder_without_a_space_is_no_supernet(tmp_path, main, hubert, labelled):
    with pytest.raises(SystemExit, match="holds no space of subnets"):
        main("search_subnet", *search(hubert, labelled, tmp_path / "run"))
