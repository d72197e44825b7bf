"""A run folder used again: the same run goes on, any other is refused in one sentence."""

import shutil

import datasets
import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.data.checks import ConfigurationError
from hf_rspin.models import RSpinHubertModel
from hf_rspin.training import LaserTrainer, TwoViewTrainer
from hf_rspin.training.arguments import ViewArguments
from hf_rspin.training.provenance import check_provenance, corpus_key, load_provenance, weights_key
from hf_rspin.training.run import noise_key
from hf_rspin.units import FrameLabels
from hf_rspin.views import SpinViews

RESULTS = ("units", "kmeans")


@pytest.fixture(scope="module")
def folders(tiny, audio, tmp_path_factory):
    """Two encoders that differ in one weight, and the folder of a finished run from the first."""
    root = tmp_path_factory.mktemp("runs")
    model = tiny.tiny_model().base_model
    model.save_pretrained(root / "a")
    with torch.no_grad():
        model.encoder.layers[0].attention.k_proj.weight[0, 0] += 0.1
    model.save_pretrained(root / "b")
    trainer_of(tiny, audio, root / "run", root / "a").train()
    return root


def trainer_of(tiny, audio, output, encoder, sizes=None, data=None, **options):
    torch.manual_seed(0)
    sizes = {"codebook_size": 8, "projection_size": 8, **(sizes or {})}
    model = RSpinHubertModel.from_pretrained(encoder, **sizes)
    options = {"max_steps": 2, "save_steps": 1, **options}
    args = tiny.tiny_arguments(output, **options)
    return TwoViewTrainer(model, args, train_dataset=tiny.tiny_dataset(audio, **(data or {})))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"learning_rate": 2e-3}, "learning_rate was 0.001 and is 0.002"),
     ({"seed": 4}, "seed was 3 and is 4"),
     ({"batch_seconds": 5}, "batch_seconds was 4 and is 5"),
     ({"sizes": {"codebook_size": 6}}, "codebook_size was 8 and is 6"),
     ({"sizes": {"temperature": 0.2}}, "temperature was 0.1 and is 0.2"),
     ({"num_trainable_layers": 2}, "num_trainable_layers was None and is 2"),
     ({"data": {"min_seconds": 0.9}}, "corpus was .* and is .*; min_seconds was 0.3 and is 0.9"),
     ({"data": {"seed": 1}}, "data_set_seed was 0 and is 1"),
     ({"encoder": "b"}, "encoder_weights was .* and is ")],
)  # fmt: skip
def test_another_run_is_refused_although_it_is_finished(tiny, audio, folders, change, message):
    change = dict(change)
    encoder = folders / change.pop("encoder", "a")
    trainer = trainer_of(tiny, audio, folders / "run", encoder, **change)
    before = (folders / "run" / "checkpoint-2" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigurationError, match=f"checkpoint-2 was trained otherwise .{message}"):
        trainer.train(resume_from_checkpoint=True)
    assert (folders / "run" / "checkpoint-2" / "model.safetensors").read_bytes() == before


def test_other_views_and_labels_are_refused(tiny, audio, folders):
    trainer = trainer_of(tiny, audio, folders / "run", folders / "a")
    trainer.train_dataset.views = SpinViews()
    with pytest.raises(ConfigurationError, match="views: .*perturb_speaker was False and is True"):
        trainer.train(resume_from_checkpoint=True)
    key = str(trainer.train_dataset.corpus["id"][0])
    labels = [FrameLabels.from_sequences({key: [0, value]}, 3) for value in (1, 2)]
    trainer.train_dataset.frame_labels = labels[0]
    from hf_rspin.training.provenance import run_provenance

    first = run_provenance(trainer)
    trainer.train_dataset.frame_labels = labels[1]
    assert run_provenance(trainer)["frame_labels"] != first["frame_labels"]


def test_the_same_run_goes_on_from_a_folder_that_was_moved(tiny, audio, folders, tmp_path, caplog):
    shutil.copytree(folders / "a", tmp_path / "elsewhere")
    shutil.copytree(folders / "run", tmp_path / "run")
    longer = trainer_of(
        tiny, audio, tmp_path / "run", tmp_path / "elsewhere",
        max_steps=3, logging_steps=2, save_steps=3, dataloader_num_workers=1,
    )  # fmt: skip
    with caplog.at_level("INFO", logger="hf_rspin"):
        assert longer.train(resume_from_checkpoint=True).global_step == 3
    assert "goes on to 3 updates instead of 2" in caplog.text
    record = load_provenance(tmp_path / "run" / "checkpoint-3")
    assert record["encoder_weights"] == weights_key(
        RSpinHubertModel.from_pretrained(folders / "a").base_model
    )


def test_score_in_the_folder_of_laser_is_refused(tiny_laser, tiny_encoder, audio, tmp_path):
    options = {"max_steps": 1, "save_steps": 1}
    tiny_laser.laser_trainer(audio, tmp_path, tiny_encoder, "laser", **options).train()
    score = tiny_laser.laser_trainer(audio, tmp_path, tiny_encoder, "score", **options)
    assert isinstance(score, LaserTrainer)
    with pytest.raises(ConfigurationError, match="frozen_teacher was False and is True"):
        score.train(resume_from_checkpoint=True)


def test_results_are_taken_again_only_where_nothing_changed(tmp_path):
    folder = tmp_path / "labels"
    check_provenance(folder, {"model": "a", "layer": 3}, RESULTS)
    check_provenance(folder, {"model": "b", "layer": 3}, RESULTS)  # nothing was made yet
    (folder / "kmeans").mkdir()
    check_provenance(folder, {"model": "b", "layer": 3}, RESULTS)
    with pytest.raises(ValueError, match=r"holds kmeans made from model b \(now c\): name another"):
        check_provenance(folder, {"model": "c", "layer": 3}, RESULTS)
    with pytest.raises(ValueError, match=r"layer 3 \(now None\)"):
        check_provenance(folder, {"model": "b"}, RESULTS)


def test_results_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "units").mkdir()
    with pytest.raises(ValueError, match="no made_from.json says"):
        check_provenance(tmp_path, {"model": "a"}, RESULTS)


def test_a_corpus_is_known_by_its_ids_and_durations():
    def key(ids, seconds):
        return corpus_key(datasets.Dataset.from_dict({"id": ids, "duration": seconds}))

    first = key(["a", "b"], [1.0, 2.0])
    assert first["utterances"] == 2
    assert first == key(["a", "b"], [1.0, 2.0])
    for other in (key(["a", "c"], [1.0, 2.0]), key(["a", "b"], [1.0, 2.5]), key(["a"], [1.0])):
        assert other["corpus"] != first["corpus"]


def test_all_noise_is_named_by_none(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,split\na.wav,train\nb.wav,test\n")
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(16_000.0)), 16_000)
    every = noise_key(ViewArguments(noise=str(tmp_path), noise_split="none"))
    assert every == noise_key(ViewArguments(noise=str(tmp_path), noise_split=None))
    assert every != noise_key(ViewArguments(noise=str(tmp_path), noise_split="train"))
