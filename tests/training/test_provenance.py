"""A run folder used again: the same run goes on, any other is refused in one sentence."""

import shutil

import datasets
import numpy as np
import pytest
import soundfile
import torch

from hf_rspin.data.checks import ConfigurationError
from hf_rspin.data.fingerprint import audio_key
from hf_rspin.models import RSpinHubertModel
from hf_rspin.training import LaserTrainer, TwoViewTrainer
from hf_rspin.training.provenance import (
    check_provenance,
    corpus_key,
    differences,
    load_provenance,
    weights_key,
)
from hf_rspin.training.run import noise_key
from hf_rspin.training.view_arguments import ViewArguments
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


def test_other_audio_under_the_same_names_is_refused(tiny, audio, folders, tmp_path):
    for file in audio.iterdir():
        samples, rate = soundfile.read(file)
        soundfile.write(tmp_path / file.name, samples[::-1], rate, soundfile.info(file).subtype)
    trainer = trainer_of(tiny, tmp_path, folders / "run", folders / "a")
    with pytest.raises(ConfigurationError, match=r"otherwise .audio was \w{16} and is \w{16}.: go"):
        trainer.train(resume_from_checkpoint=True)


def test_waveforms_scaled_otherwise_are_another_run(tiny, audio, folders):
    trainer = trainer_of(tiny, audio, folders / "run", folders / "a")
    trainer.processing_class.do_normalize = True
    with pytest.raises(ConfigurationError, match="do_normalize was False and is True"):
        trainer.train(resume_from_checkpoint=True)


def test_the_same_audio_has_one_key_wherever_it_lies(audio, tmp_path):
    files = sorted(audio.iterdir())
    copies = [shutil.copy(file, tmp_path) for file in files]
    cells = [{"bytes": None, "path": str(file)} for file in copies]
    inside = [{"bytes": file.read_bytes(), "path": "elsewhere.wav"} for file in files]
    assert audio_key(files) == audio_key(cells) == audio_key(inside)
    assert audio_key(files) != audio_key([*files[1:], files[0]])
    assert audio_key([np.zeros(100)]) != audio_key([np.ones(100)])


def test_the_noise_of_a_run_is_known_by_its_sound(audio, tmp_path):
    views = ViewArguments(noise=str(audio), noise_split="none")
    key = noise_key(views)["noise"]
    assert key["utterances"] == len(list(audio.iterdir())) and views.noise_split is None
    for file in audio.iterdir():
        samples, rate = soundfile.read(file)
        soundfile.write(tmp_path / file.name, -samples, rate, soundfile.info(file).subtype)
    other = noise_key(ViewArguments(noise=str(tmp_path)))["noise"]
    assert other["corpus"] == key["corpus"] and other["audio"] != key["audio"]
    assert noise_key(ViewArguments(noise="none")) == {}


def test_a_difference_that_explains_others_stands_alone():
    lora = {"adapter": "lora", "r": 8, "target_modules": ["q_proj"], "seed": 1}
    whole = {"adapter": "none", "seed": 2}
    assert differences(lora, whole) == ["adapter was lora and is none", "seed was 1 and is 2"]
    laser = {"model": "LaserModel", "idm_weight": 0.4}
    spin = {"model": "RSpinModel", "codebook_size": 8}
    assert differences(laser, spin) == ["model was LaserModel and is RSpinModel"]
    views = {"equalize": True, "views": {"equalize": True}}
    other = {"equalize": False, "views": {"equalize": False}}
    assert differences(views, other) == ["equalize was True and is False"]


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


def test_a_shorter_run_neither_trains_nor_lies(tiny, audio, folders, tmp_path, caplog):
    shutil.copytree(folders / "run", tmp_path / "run")
    shorter = trainer_of(tiny, audio, tmp_path / "run", folders / "a", max_steps=1)
    assert shorter.train(resume_from_checkpoint=True).global_step == 2
    shorter.save_model()
    card = (tmp_path / "run" / "README.md").read_text()
    assert "max_steps: 2" in card and "updates: 2" in card and "max_steps: 1" not in card


def test_a_shortened_run_follows_the_shorter_schedule(tiny, audio, folders, tmp_path, caplog):
    trainer_of(tiny, audio, tmp_path, folders / "a", max_steps=6, save_steps=4).train()
    shutil.rmtree(tmp_path / "checkpoint-6")
    shorter = trainer_of(tiny, audio, tmp_path, folders / "a", max_steps=5, save_steps=4)
    with caplog.at_level("INFO", logger="hf_rspin"):
        assert shorter.train(resume_from_checkpoint=True).global_step == 5
    assert "goes on to 5 updates instead of 6: the learning rate follows the shorter" in caplog.text
    rates = [entry["learning_rate"] for entry in shorter.state.log_history if "loss" in entry]
    assert rates[-1] == pytest.approx(shorter.args.min_learning_rate)


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
    with pytest.raises(ValueError) as refused:
        check_provenance(folder, {"model": "c", "steps": 2}, RESULTS, options=["layer", "steps"])
    assert str(refused.value) == (
        f"{folder} was made with model b (now c), with --layer 3 (now without), without --steps "
        "(now 2): name another --output_dir, or remove it."
    )


def test_results_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "units").mkdir()
    with pytest.raises(ValueError, match="no provenance.json says"):
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


def test_a_run_from_before_an_option_goes_on_unless_the_option_is_used():
    voice = {"kind": "SpeakerPerturbation", "sampling_rate": 16000}
    before = {"seed": 1, "views": {"perturbed": {"transforms": [voice, {"kind": "Clip"}]}}}

    def now(formants: bool, **options: object) -> dict:
        views = {"perturbed": {"transforms": [{**voice, "formants": formants}, {"kind": "Clip"}]}}
        return {"seed": 1, "views": views, "perturb_formants": formants, **options}

    assert differences(before, now(True, variance_weight=0.0, auxiliary_codebook_size=None)) == []
    assert differences(before, now(False))[0] == "perturb_formants was None and is False"
    used = differences(before, now(True, variance_weight=1.0))
    assert used == ["variance_weight was None and is 1.0"]
    assert differences(now(True), now(False)) == ["perturb_formants was True and is False"]
