"""`train_laser.py` and `evaluate_retrieval.py` as a user runs them, on a tiny encoder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import HubertConfig, HubertForCTC, HubertModel, WavLMConfig, WavLMModel

from hf_rspin.models import LaserHubertModel, LaserWavLMModel
from hf_rspin.resources import sample_folder
from hf_rspin.views import LATER_SNRS_DB, LATER_SPEEDS

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "hf_rspin" / "configs").glob("laser_*.yaml"))
CONFIGS += sorted((ROOT / "hf_rspin" / "configs").glob("score_*.yaml"))
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    HubertModel(HubertConfig(**SIZES)).save_pretrained(folder / "hubert")
    WavLMModel(WavLMConfig(**SIZES)).save_pretrained(folder / "wavlm")
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Eight utterances of the sample without metadata, in two folders."""
    folder = tmp_path_factory.mktemp("speech")
    for number, file in enumerate(sorted(sample_folder().rglob("*.flac"))[::15][:8]):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        shutil.copy(file, folder / "ab"[number % 2] / f"{number:02d}.flac")
    return folder


@pytest.mark.parametrize(
    ("config", "family"), [("laser_small", "hubert"), ("score_small", "wavlm")]
)
def test_trains_the_top_and_saves_a_plain_encoder(
    main, tmp_path, encoders, speech, config, family
):
    main("train_laser", f"{config}.yaml", "--encoder", encoders / family,
         "--corpus", speech, "--corpus_split", "none", "--output_dir", tmp_path / "run",
         "--max_steps", 2, "--save_steps", 1, "--logging_steps", 1,
         "--gradient_accumulation_steps", 2, "--max_seconds", 2)  # fmt: skip
    model_class = {"hubert": LaserHubertModel, "wavlm": LaserWavLMModel}[family]
    model = model_class.from_pretrained(tmp_path / "run").eval()
    assert model.config.frozen_teacher == (config == "score_small")
    plain_class = {"hubert": HubertModel, "wavlm": WavLMModel}[family]
    before = plain_class.from_pretrained(encoders / family).state_dict()
    after = plain_class.from_pretrained(tmp_path / "run").state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(n.startswith(("encoder.layers.1.", "encoder.layers.2.")) for n in moved)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert {"soft_dtw_divergence", "idm_clean", "frame_cosine"} <= set(history[-1])
    if family == "hubert":
        ctc = HubertForCTC.from_pretrained(tmp_path / "run").eval()
        waveform = torch.randn(1, 8000)
        torch.testing.assert_close(
            ctc.hubert(waveform).last_hidden_state, model(waveform).last_hidden_state
        )


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_configs_name_what_exists_and_say_what_is_published(config, tmp_path):
    from hf_rspin.training import LaserTrainingArguments
    from hf_rspin.training.cli import parse_arguments
    from hf_rspin.training.corpus_arguments import CorpusArguments
    from hf_rspin.training.model_arguments import LaserModelArguments
    from hf_rspin.training.view_arguments import LaserViewArguments

    classes = CorpusArguments, LaserViewArguments, LaserModelArguments, LaserTrainingArguments
    _, views, model, training = parse_arguments(
        *classes, arguments=[str(config), "--use_cpu", "true", "--output_dir", str(tmp_path)]
    )
    assert model.method == config.stem.split("_")[0]
    assert training.gradient_accumulation_steps * training.pairs_per_batch == 8
    assert (training.adam_epsilon, training.max_grad_norm) == (1e-7, 1.0)
    if config.stem.endswith("base"):
        assert (training.max_steps, training.warmup_steps) == (3600, 1000)
        assert training.learning_rate == 2e-5 and model.encoder.count("/") == 1
        counts = {"laser_wavlm_base": 7, "score_wavlm_base": 5, "laser_noise_hubert_base": 9}
        assert len(views.speeds) == counts.get(config.stem, 3)
        assert views.semitones == (0.0 if "noise" in config.stem else 2.0)
    if "noise" in config.stem:
        assert (tuple(views.speeds), tuple(views.snrs)) == (LATER_SPEEDS, LATER_SNRS_DB)
    assert yaml.safe_load(config.read_text())["output_dir"] == f"runs/{config.stem}"


def test_words_are_retrieved(main, encoders, speech, capsys):
    arguments = ["--corpus", speech, "--encoders", encoders / "hubert", "--layers", 1, -1]
    main("evaluate_retrieval", *arguments)
    rows = [row.split(" | ") for row in capsys.readouterr().out.strip().split("\n")[-2:]]
    assert [row[1] for row in rows] == ["1", "-1"]
    for row in rows:
        assert 0 < float(row[2]) <= 1 and 0 <= float(row[3]) <= 1
        assert float(row[4].rstrip(" |")) == pytest.approx(3 / 7, abs=1e-3)
    with pytest.raises(SystemExit, match="--layers has 9; .*hubert has hidden states 0 to"):
        main("evaluate_retrieval", *arguments, "--layers", 9)
    with pytest.raises(SystemExit, match="expected at least two words"):
        main("evaluate_retrieval", "--corpus", speech / "a", "--encoders", encoders / "hubert")


def test_mistakes_are_said_in_one_sentence(main, tmp_path, encoders, speech):
    common = ["--corpus", speech, "--output_dir", tmp_path / "x", "--use_cpu", "true"]
    with pytest.raises(SystemExit, match="^no encoder was given"):
        main("train_laser", *common)
    common += ["--encoder", encoders / "hubert"]
    with pytest.raises(SystemExit, match="idm_margin is 3.0; expected a number above 0"):
        main("train_laser", *common, "--idm_margin", 3)
    with pytest.raises(SystemExit, match=r"speeds are \[0.0\]; expected a list"):
        main("train_laser", *common, "--speeds", 0)
    with pytest.raises(SystemExit, match="method is 'other'; expected laser or score"):
        main("train_laser", *common, "--method", "other")
    with pytest.raises(SystemExit, match="frozen and deterministic"):
        main("train_laser", *common, "--lower_states_cache", "x", "--train_encoder_norm", "true")
    assert not (tmp_path / "x").exists()
