"""`train.py --objective masked_prediction`: families, starts, shared labels, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from transformers import AutoModel

from hf_rspin.audio import num_frames
from hf_rspin.commands import train
from hf_rspin.models import load_encoder
from hf_rspin.models.attention import NAME as FASTEST
from hf_rspin.models.folders import encoder_folder
from hf_rspin.models.own_types import config_class_of, model_class_of
from hf_rspin.training.masked_prediction import read_corpora, select_of_corpora
from hf_rspin.training.masked_prediction_arguments import MaskedPredictionArguments
from hf_rspin.training.masked_prediction_labels import shared_labels
from hf_rspin.training.masked_prediction_network import build_network, encoder_config
from hf_rspin.training.provenance import load_provenance
from hf_rspin.training.training_arguments import MaskedPredictionTrainingArguments
from hf_rspin.units import FrameLabels

CONFIGS = Path(__file__).parents[2] / "hf_rspin" / "configs"
TINY = {
    "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": [8, 8, 8],
    "conv_kernel": [160, 16, 1], "conv_stride": [16, 20, 1], "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0, "hidden_dropout": 0.1,
}  # fmt: skip
MULTI = {"model_type": "mr-hubert", "block_layers": [1, 1, 1]}
RATE = 16000


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Six utterances of noise, one of them of another split."""
    folder = tmp_path_factory.mktemp("speech")
    generator = np.random.default_rng(0)
    rows = ["file_name,split"]
    for number in range(6):
        samples = int(generator.integers(20000, 30000))
        soundfile.write(folder / f"{number}.wav", 0.1 * generator.normal(size=samples), RATE)
        rows.append(f"{number}.wav,{'test' if number == 5 else 'train'}")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def options(speech, output, encoder, **changes):
    fields = {name: value for name, value in (TINY | encoder).items() if value is not None}
    given = {
        "corpora": speech, "output_dir": output, "encoder": json.dumps(fields),
        "num_clusters": 6, "max_steps": 4, "batch_seconds": 4, "crop_seconds": 1.5,
        "use_cpu": "true", "logging_steps": 1, "save_steps": 2, "learning_rate": 1e-3,
        "report_to": "none", "disable_tqdm": "true", **changes,
    }  # fmt: skip
    found = ["--objective", "masked_prediction"]
    for name, value in given.items():
        found += [] if value is None else [f"--{name}", str(value)]
    return found


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, speech):
    """The folder of frame labels by id, as make_pseudo_labels.py writes them; seven classes."""
    generator = np.random.default_rng(1)
    sequences = {
        str(n): generator.integers(0, 7, num_frames(soundfile.info(speech / f"{n}.wav").frames))
        for n in range(6)
    }
    folder = tmp_path_factory.mktemp("labels") / "units"
    FrameLabels.from_sequences(sequences, 7).save(folder)
    return folder


def equal_weights(first, second):
    one, other = (load_file(folder / "encoder" / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    "encoder",
    [{"model_type": "wavlm", "num_hidden_layers": 2},
     {"model_type": "sew-d", "num_hidden_layers": 1, "layerdrop": None},
     {"num_hidden_layers": 1, "feat_extract_norm": "layer", "conv_bias": True}],
    ids=["wavlm", "sew-d", "hubert"],
)  # fmt: skip
def test_a_run_leaves_a_plain_encoder_of_its_family(encoder, main, speech, labelled, tmp_path):
    main("train", *options(speech, tmp_path, encoder, labels=labelled, filterbank="true",
                           max_steps=2, unmasked_weight=0.5))  # fmt: skip
    model, report = AutoModel.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    family = encoder.get("model_type", "hubert")
    assert type(model) is model_class_of(config_class_of(family))
    assert not report["missing_keys"] and not report["unexpected_keys"]
    content = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert content["dtype"] == "float32" and content["apply_spec_augment"] is False
    assert not {"num_frame_labels", "unmasked_weight", "final_dim"} & content.keys()
    stored = load_file(tmp_path / "encoder" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    extractor = json.loads((tmp_path / "encoder" / "preprocessor_config.json").read_text())
    assert extractor["do_normalize"] is ("feat_extract_norm" in encoder)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in history] == [1, 2] and "loss_low" not in history[0]
    assert model(torch.randn(1, 8000)).last_hidden_state.isfinite().all()


@pytest.fixture(scope="module")
def multi(tmp_path_factory, speech):
    """The output of a run of MR-HuBERT that made its own labels, of MFCC."""
    folder = tmp_path_factory.mktemp("multi") / "run"
    train.main(options(speech, folder, MULTI, feature_gradient_scale=0.1, feature_penalty=10))
    return folder


def test_every_resolution_of_mr_hubert_is_logged(multi):
    for entry in json.loads((multi / "history.json").read_text()):
        parts = sum(entry[name] for name in ("loss_low", "loss_high", "feature_penalty"))
        assert entry["loss"] == pytest.approx(parts, rel=1e-4)
        assert 0 <= entry["accuracy_low"] <= 1 and 0 <= entry["masked_accuracy"] <= 1
    model = load_encoder(multi / "encoder")
    assert model.config.model_type == "mr-hubert"
    assert list((multi / "encoder").glob("*.py"))  # its code travels
    assert len(model(torch.randn(1, 8000)).resolution_outputs) == 2


def test_a_run_of_mr_hubert_goes_on_exactly(multi, main, speech, tmp_path):
    again = Path(shutil.copytree(multi, tmp_path / "run"))
    shutil.rmtree(again / "checkpoint-4")
    shutil.rmtree(again / "encoder")
    given = {"feature_gradient_scale": 0.1, "feature_penalty": 10}
    main("train", *options(speech, again, MULTI, **given))
    assert equal_weights(multi, again)
    # dropouts draw, and weights move: other seeds and other shares of the gradient differ
    main("train", *options(speech, tmp_path / "other", MULTI, labels=multi, feature_penalty=10))
    assert not equal_weights(multi, tmp_path / "other")


def test_another_run_takes_the_labels_of_one(multi, main, speech, tmp_path):
    given = {"feature_gradient_scale": 0.1, "feature_penalty": 10, "num_clusters": None}
    main("train", *options(speech, tmp_path, MULTI, labels=multi, **given))
    assert equal_weights(multi, tmp_path) and not (tmp_path / "labels.npz").exists()


def arguments(speech=None, **changes):
    given = {"corpora": [str(speech)], "encoder": TINY | {"num_hidden_layers": 1}}
    return MaskedPredictionArguments(**given | changes)


def test_labels_are_found_by_the_ids_of_utterances(speech, labelled):
    waveforms = read_corpora(arguments(speech))
    assert list(waveforms) == ["0", "1", "2", "3", "4"]
    found, number = shared_labels(labelled, waveforms)
    stored = FrameLabels.load(labelled)
    assert number == 7
    for name, own in zip(waveforms, found, strict=True):
        np.testing.assert_array_equal(own, stored[name])


def test_labels_of_other_audio_are_refused(speech, labelled, multi, tmp_path):
    waveforms = read_corpora(arguments(speech))
    with pytest.raises(ValueError, match=r"holds no labels; expected the output folder of another"):
        shared_labels(tmp_path, waveforms)
    with pytest.raises(ValueError, match="holds no labels of 1 of 6 utterances, such as 'new'"):
        shared_labels(labelled, waveforms | {"new": waveforms["0"]})
    with pytest.raises(ValueError, match="holds no labels of 1 of 6 utterances, such as 'new'"):
        shared_labels(multi, waveforms | {"new": waveforms["0"]})
    for folder in (labelled, multi):
        with pytest.raises(ValueError, match="labels where utterance '1' has 49 frames"):
            shared_labels(folder, waveforms | {"1": waveforms["1"][:16000]})
    (tmp_path / "labels.npz").write_bytes((multi / "labels.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"labels.npz is damaged .*: make the labels again"):
        shared_labels(tmp_path, waveforms)


@pytest.mark.parametrize("family", ["hubert", "wavlm", "mr-hubert"])
def test_convolutions_come_from_another_encoder(family):
    shape = {name: getattr(load_encoder(encoder_folder()).config, name)
             for name in ("conv_dim", "conv_kernel", "conv_stride")}  # fmt: skip
    encoder = TINY | shape | {"model_type": family, "num_hidden_layers": 3}
    source = load_encoder(encoder_folder()).state_dict()
    for size in (16, 256):  # the projection of the second fits too
        given = arguments(encoder=encoder | {"hidden_size": size}, initial_convolutions="bundled")
        for name, value in build_network(given, 5).base_model.state_dict().items():
            copied = name.startswith("feature_extractor.") or (
                size == 256 and name.startswith("feature_projection.")
            )
            same = name in source and torch.equal(source[name], value)
            assert same or not copied, name
            assert not same or copied or name.endswith(("bias", "norm.weight")), name
    with pytest.raises(ValueError, match=r"convolutions of bundled do not fit: .* is .* there and"):
        build_network(arguments(encoder=TINY, initial_convolutions="bundled"), 5)


@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_the_gradient_of_the_convolutions_is_scaled(scale):
    gradients = {}
    for factor in (1.0, scale):
        torch.manual_seed(0)
        encoder = TINY | MULTI | {"hidden_dropout": 0.0}
        model = build_network(arguments(encoder=encoder, feature_gradient_scale=factor), 5)
        torch.manual_seed(1)
        mask, labels = torch.rand(2, 24) < 0.5, torch.randint(0, 5, (2, 24))
        model.eval()(torch.randn(2, 8000), mask_time_indices=mask, labels=labels).loss.backward()
        gradients[factor] = {n: p.grad for n, p in model.base_model.named_parameters()}
    for name, whole in gradients[1.0].items():
        found = gradients[scale][name]
        if not name.startswith("feature_extractor."):
            torch.testing.assert_close(found, whole)
        elif scale == 0:
            assert found is None
        else:
            torch.testing.assert_close(found, scale * whole)


def test_a_run_starts_from_an_encoder_and_its_heads_too(tmp_path):
    torch.manual_seed(0)
    first = build_network(arguments(), 5)
    first.save_pretrained(tmp_path / "run")
    again = build_network(arguments(initial_model=str(tmp_path / "run")), 5)
    assert all(torch.equal(v, again.state_dict()[n]) for n, v in first.state_dict().items())
    start = {"initial_model": str(tmp_path / "run")}
    other = build_network(arguments(**start, encoder=None), 9)
    assert other.label_heads[0].label_embeddings.weight.shape == (9, 256)
    assert other.config.untrained_heads and other.config.hidden_dropout == 0.1
    with pytest.raises(ValueError, match="--encoder asks for hidden_size 32, but .* has 16: leave"):
        build_network(arguments(**start, encoder={"hidden_size": 32}), 5)


def test_attention_is_one_that_the_family_has(tmp_path, monkeypatch):
    families = {"hubert": {}, "wavlm": {}, "sew-d": {}, "mr-hubert": MULTI}
    for has_gpu in (False, True):  # whether there is one decides the name alone
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=has_gpu: found)
        names = {}
        for family, own in families.items():
            encoder = TINY | own | {"model_type": family}
            encoder |= {} if "block_layers" in own else {"num_hidden_layers": 1}
            encoder = {n: v for n, v in encoder.items() if (family, n) != ("sew-d", "layerdrop")}
            model = build_network(arguments(encoder=encoder), 5)
            model.save_pretrained(tmp_path / family)
            start = {"initial_model": str(tmp_path / family), "encoder": None}
            again = build_network(arguments(**start), 5)
            names[family] = model.base_model.config._attn_implementation
            assert again.base_model.config._attn_implementation == names[family]
        fused = FASTEST if has_gpu else "eager"  # what sdpa becomes
        assert names == {"hubert": fused, "wavlm": "eager", "sew-d": "eager", "mr-hubert": fused}


def test_heads_trained_on_other_labels_begin_anew(multi, main, speech, tmp_path, caplog):
    caplog.set_level("INFO", "hf_rspin")
    source = multi / "checkpoint-4"
    trained, key = load_file(source / "model.safetensors"), load_provenance(source)["labels"]
    heads = [name for name in trained if name.startswith("label_heads.")]
    start = arguments(initial_model=str(source), encoder=None)
    torch.manual_seed(0)
    other, same = (build_network(start, 6, keys) for keys in (["another"], ["another", key]))
    assert other.config.untrained_heads and not same.config.untrained_heads and len(heads) == 6
    for name, value in trained.items():
        assert torch.equal(same.state_dict()[name], value), name
        is_kept = torch.equal(other.state_dict()[name], value)
        assert is_kept is (name not in heads), name
        if name.endswith("label_embeddings.weight"):
            assert other.state_dict()[name].std().item() == pytest.approx(0.05, rel=0.1)
    given = {"initial_model": source, "max_steps": 1, "save_steps": 1}
    for run, changes in {
        "other": {"num_clusters": 6, "seed": 5},  # k-means anew: as many clusters, of other kinds
        "same": {"labels": multi},
        "part": {"labels": multi, "hours": 0.001},
    }.items():
        caplog.clear()
        main("train", *options(speech, tmp_path / run, MULTI, **given, **changes))
        assert ("The heads begin anew" in caplog.text) is (run == "other")
    # what was trained since counts as trained
    config = json.loads((tmp_path / "other" / "checkpoint-1" / "config.json").read_text())
    assert not config.get("untrained_heads")


def test_a_part_of_the_corpora_finds_the_labels_of_another_run(multi, main, speech, tmp_path):
    whole, _ = shared_labels(multi, read_corpora(arguments(speech)))
    part = read_corpora(arguments(speech), {"3", "1"})
    found, number = shared_labels(multi, part)
    assert list(part) == ["1", "3"] and number == 6
    for own, expected in zip(found, (whole[1], whole[3]), strict=True):
        np.testing.assert_array_equal(own, expected)
    given = {"labels": multi, "hours": 0.001, "max_steps": 1, "num_clusters": None}
    start = {"initial_model": multi / "checkpoint-4"}
    for select, changes in {"random": {}, "unit_coverage": {}, "loss": start}.items():
        run = tmp_path / select
        main("train", *options(speech, run, MULTI, select=select, **given, **changes))
        record = json.loads((run / "selection.json").read_text())
        assert 1 <= record["utterances"] < record["of_utterances"] == 5
        assert (run / "encoder").is_dir()


def test_labels_that_were_kept_without_ids_serve_whole_corpora(multi, main, speech, tmp_path):
    with np.load(multi / "labels.npz") as stored:
        content = dict(stored)
    assert content.pop("ids").tolist() == ["0", "1", "2", "3", "4"]
    np.savez(tmp_path / "labels.npz", **content)
    waveforms = read_corpora(arguments(speech))
    found, expected = (shared_labels(folder, waveforms) for folder in (tmp_path, multi))
    assert found[1] == 1 + content["labels"].max()  # no provenance says more
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="of 5 utterances without their ids, but the corpora have"):
        shared_labels(tmp_path, {"0": waveforms["0"]})
    given = {"labels": tmp_path, "hours": 0.001}
    with pytest.raises(SystemExit, match="without the ids .* leave --hours out, or make the"):
        main("train", *options(speech, tmp_path / "run", MULTI, **given))
    np.savez(tmp_path / "labels.npz", ids=np.array(["0"]), **content)
    with pytest.raises(ValueError, match="holds 1 ids for 5 utterances: make the labels again"):
        shared_labels(tmp_path, waveforms)


def test_one_split_of_a_data_set_is_read(speech, tmp_path):
    splits = {"train": ["0", "1"], "dev": ["2"], "test": ["3"]}
    rows = {split: {"id": ids, "audio": [str(speech / f"{name}.wav") for name in ids]}
            for split, ids in splits.items()}  # fmt: skip
    parts = {split: Dataset.from_dict(columns) for split, columns in rows.items()}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    for split, ids in splits.items():
        given = arguments(tmp_path / "saved", corpus_split=split)
        assert list(read_corpora(given)) == ids
    assert list(read_corpora(arguments(speech, corpus_split="train"))) == ["0", "1", "2", "3", "4"]
    assert list(read_corpora(arguments(speech, corpus_split="none"))) == ["0", "1", "2", "3", "4"]
    part = arguments(tmp_path / "saved", corpus_split="train", hours=0.0005)
    chosen = select_of_corpora(part, MaskedPredictionTrainingArguments(str(tmp_path), use_cpu=True))
    assert set(chosen.ids) <= {"0", "1"} and chosen.num_candidates == 2


def test_the_command_of_a_later_iteration_runs(main, speech, tmp_path):
    file = CONFIGS / "pretrain_mrhubert_small.yaml"
    comment = "".join(line.lstrip("#") for line in file.read_text().splitlines(keepends=True)
                      if line.startswith("# "))  # fmt: skip
    command = comment[comment.index("train --objective") :].replace("\\\n", " ").split()
    places = {"speech": str(speech)}
    more = ["--use_cpu", "true", "--max_steps", "1", "--batch_seconds", "4", "--bf16", "false"]
    first = ["--corpora", str(speech), "--output_dir", str(tmp_path / "1"), *more]
    main("train", "--objective", "masked_prediction", str(file), *first)
    given = [
        str(places.get(part, part)).replace("runs/pretrain_mrhubert", str(tmp_path))
        for part in command[1:]
    ]
    main("train", *given, *more)
    assert load_encoder(tmp_path / "2" / "encoder").config.model_type == "mr-hubert"
    record = json.loads((tmp_path / "2" / "provenance.json").read_text())
    assert record["num_clusters"] == 200 and record["source"] == "layer 3 of the iteration before"


def test_the_base_recipe_takes_labels_of_one_split():
    text = (CONFIGS / "pretrain_mrhubert_base.yaml").read_text()
    content = yaml.safe_load(text)
    known = MaskedPredictionArguments.__dataclass_fields__.keys() & content.keys()
    given = MaskedPredictionArguments(**{name: content[name] for name in known})
    given.check()
    command = text[text.index("hf-rspin labels") :].split("output_dir: ")[0].split()
    options = {"--corpora": given.corpora, "--corpus_split": given.corpus_split,
               "--output_dir": str(Path(given.labels).parent)}  # fmt: skip
    for name, value in options.items():
        assert command[command.index(name) + 1] == value
    assert 32 * content["batch_seconds"] * RATE == 32e6  # 1,000,000 samples per process


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"labels": "a", "teacher": "b"}, "got --labels and --teacher; give one"),
     ({"filterbank": "true", "initial_convolutions": "bundled"},
      "got --filterbank and --initial_convolutions: each says"),
     ({"labels": "missing"}, "missing holds no labels; expected the output folder"),
     ({"feature_gradient_scale": -1}, "feature_gradient_scale is -1; expected a finite"),
     ({"mask_span": 0}, "mask_span 0; expected a share"),
     ({"encoder": "[1]"}, r"--encoder is \[1\]; expected a mapping"),
     ({"encoder": '{"model_type": "bert"}'}, "got a 'bert' model; expected an encoder"),
     ({"encoder": '{"hidden_sise": 3}'}, "--encoder names hidden_sise, which is no field"),
     ({"encoder": '{"hidden_act": "foo"}'}, "--encoder has hidden_act 'foo', with which no enc"),
     ({"encoder": '{"hidden_size": 33}'}, "has hidden_size 33, with .* divisible by groups.: corr"),
     ({"encoder": '{"num_attention_heads": 0, "hidden_size": 32}'},
      r"has num_attention_heads 0, with which .*\(ZeroDivisionError: "),
     ({"encoder": '{"hidden_act": "foo", "num_attention_heads": 0}'},
      "has hidden_act 'foo', num_attention_heads 0, with which"),
     ({"encoder": '{"conv_stride": [5,2,2,2,2,2,1]}'}, "frame of 400 samples every 160"),
     ({"encoder": '{"num_hidden_layers": 1}', "filterbank": "true"},
      "filter bank takes a first convolution of at least 80 samples"),
     ({"encoder": '{"model_type": "mr-hubert", "block_layers": [1, 1]}'}, "block_layers are"),
     ({"teacher": "bundled", "teacher_layer": 7}, "layer is 7; this encoder has")],
)  # fmt: skip
def test_what_cannot_work_is_said_in_one_sentence(changes, text, main, speech, tmp_path):
    given = [part for name, value in changes.items() for part in (f"--{name}", str(value))]
    with pytest.raises(SystemExit, match=text):
        main("train", *options(speech, tmp_path / "run", {}), *given)
    assert not (tmp_path / "run" / "labels.npz").exists()


def test_labels_of_a_layer_are_those_of_the_whole_teacher(speech, main, tmp_path):
    main("train", *options(speech, tmp_path, {"num_hidden_layers": 1}, teacher="bundled",
                           teacher_layer=2, max_steps=1))  # fmt: skip
    waveforms = read_corpora(arguments(speech))
    found, _ = shared_labels(tmp_path, waveforms)
    from hf_rspin.units import KMeans, layer_features

    features = layer_features(load_encoder(encoder_folder()), 2)
    kmeans = KMeans.from_pretrained(tmp_path / "kmeans")
    for waveform, own in zip(waveforms.values(), found, strict=True):
        states = features(waveform.astype(np.float32) / 32768).astype(np.float16)
        np.testing.assert_array_equal(kmeans.predict(states.astype(np.float32)), own)


def test_the_four_of_the_question_differ_in_the_encoder_alone():
    files = {name: yaml.safe_load((CONFIGS / "mrhubert_question" / f"{name}.yaml").read_text())
             for name in ("hubert", "mrhubert", "b4a", "b5a")}  # fmt: skip
    rest = [{k: v for k, v in one.items() if k not in ("encoder", "output_dir")}
            for one in files.values()]  # fmt: skip
    assert all(one == rest[0] for one in rest)
    sizes, totals = {}, {}
    for name, one in files.items():
        config = encoder_config(one["encoder"])
        model = model_class_of(type(config))(config)
        # sampling modules, and a norm for every block instead of one for all
        own = [("sampling",), ("encoder.norms.", "encoder.layer_norm.")]
        between, norms = (
            sum(p.numel() for n, p in model.named_parameters() if any(part in n for part in parts))
            for parts in own
        )
        totals[name] = model.num_parameters()
        sizes[name] = totals[name] - between - norms
        # HuBERT has fewer: that, and nothing else
        assert (between, norms) == ((0, 512) if name == "hubert" else (264_192, 1_536))
    assert len(set(sizes.values())) == 1 and 5e6 < sizes["hubert"] < 6e6
    assert totals["mrhubert"] == totals["b4a"] == totals["b5a"]
    assert 1 < totals["mrhubert"] / totals["hubert"] < 1.05
    said = (CONFIGS / "mrhubert_question" / "hubert.yaml").read_text()
    assert all(f"{totals[name]:,}" in said for name in ("hubert", "mrhubert"))
    assert f"(+{totals['mrhubert'] / totals['hubert'] - 1:.1%})".replace("%", " %") in said
    predictions = {name: one["encoder"].get("num_predictions") for name, one in files.items()}
    assert predictions == {"hubert": None, "mrhubert": None, "b4a": 1, "b5a": None}
