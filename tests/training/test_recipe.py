"""What the scripts build from their arguments."""

import logging

import datasets
import pytest
import torch
from transformers import HubertConfig

import hf_rspin.views
from hf_rspin.ctc import CtcModelArguments, build_tokenizer
from hf_rspin.data import load_corpus
from hf_rspin.models import RSpinHubertModel, folders
from hf_rspin.training.corpus_arguments import CorpusArguments
from hf_rspin.training.model_arguments import LaserModelArguments, ModelArguments
from hf_rspin.training.run import noise_key
from hf_rspin.training.view_arguments import ViewArguments


@pytest.fixture(scope="module")
def spin(tiny, tmp_path_factory):
    """A folder with heads for 16 codes and 7 pseudo-labels."""
    folder = tmp_path_factory.mktemp("spin")
    tiny.tiny_model(codebook_size=16, num_pseudo_labels=7).save_pretrained(folder)
    return str(folder)


def test_heads_of_other_sizes_begin_anew(spin, caplog):
    before = RSpinHubertModel.from_pretrained(spin).state_dict()
    with caplog.at_level(logging.WARNING):
        model = ModelArguments(encoder=spin, codebook_size=8).build(num_pseudo_labels=5)
    assert "auxiliary_head.bias, auxiliary_head.weight, spin_head.codebook.weight begin" in (
        caplog.text
    )
    after = model.state_dict()
    assert after["spin_head.codebook.weight"].shape[0] == 8
    norms = after["spin_head.codebook.weight"].norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(8))
    assert after["auxiliary_head.weight"].shape[0] == 5
    kept = [name for name in after if after[name].shape == before[name].shape]
    assert len(kept) == len(before) - 3
    assert all(torch.equal(after[name], before[name]) for name in kept)


def test_heads_of_the_same_size_stay_silently(spin, caplog):
    before = RSpinHubertModel.from_pretrained(spin).state_dict()
    with caplog.at_level(logging.WARNING):
        after = ModelArguments(encoder=spin).build().state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert "begin anew" not in caplog.text


def test_an_encoder_of_other_sizes_is_refused(spin):
    arguments = ModelArguments(encoder=spin, encoder_config='{"intermediate_size": 48}')
    with pytest.raises(ValueError, match="no whole encoder: .* or of another size"):
        arguments.build()


def test_an_encoder_of_another_frame_rate_is_refused(tmp_path):
    HubertConfig(conv_stride=(5, 2, 2, 2, 2, 2, 4)).save_pretrained(tmp_path)
    for arguments in (ModelArguments, LaserModelArguments):
        with pytest.raises(ValueError, match="a frame of 400 samples every 640; expected 400"):
            arguments(encoder=str(tmp_path)).build()
    tokenizer = build_tokenizer(["ab"], "text")
    with pytest.raises(ValueError, match="a frame of 400 samples every 640; expected 400"):
        CtcModelArguments(encoder=str(tmp_path)).build(tokenizer)


def test_embedded_names_the_encoder_of_the_package(spin, monkeypatch):
    monkeypatch.setattr(folders, "encoder_folder", lambda: spin)
    assert ModelArguments(encoder="embedded").build().config.codebook_size == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/folder", "is neither .* of the Hub that can be reached; expected a folder"),
        ("owner/name", r"is neither .* of the Hub that can be reached \(.*\); expected a folder"),
        (".", r"holds no config.json; expected a folder"),
    ],
)
def test_an_encoder_that_does_not_exist_is_named(name, message):
    with pytest.raises(ValueError, match=f"^{name} {message}") as found:
        ModelArguments(encoder=name).build()
    assert "\n" not in str(found.value)


def test_mistakes_in_encoder_config_are_refused(spin):
    with pytest.raises(ValueError, match=r"names hiden_dropout, which.*did you mean hidden_drop"):
        ModelArguments(encoder=spin, encoder_config={"hiden_dropout": 0.0}).build()
    for wrong in ("{hidden_dropout: 0}", "[1]"):
        with pytest.raises(ValueError, match="expected a mapping in YAML"):
            ModelArguments(encoder=spin, encoder_config=wrong)


def test_a_split_of_a_config_can_be_taken_back(audio):
    with pytest.raises(ValueError, match="no `split` column.*--corpus_split none"):
        CorpusArguments(str(audio), "train").load()
    corpus = CorpusArguments(str(audio), "none").load()
    assert len(corpus) == 24
    with pytest.raises(ValueError, match="--noise_split none"):
        ViewArguments(noise=str(audio), noise_split="train").build(corpus)
    views = ViewArguments(noise=str(audio), noise_split="None")
    assert len(views.build(corpus).noise_bank.sources) == 24


def test_auto_is_train_where_there_are_splits_and_else_everything(audio, tmp_path):
    plain = CorpusArguments(str(audio), "auto")
    assert len(plain.load()) == 24 and plain.corpus_split is None
    views = ViewArguments(noise=str(audio), noise_split="auto")
    assert len(views.build(plain.load()).noise_bank.sources) == 24 and views.noise_split is None
    names = [path.name for path in sorted(audio.iterdir())]
    splits = ["train"] * 20 + ["test"] * 4
    lines = [f"{audio / name},{split}" for name, split in zip(names, splits, strict=True)]
    table = tmp_path / "metadata.csv"
    table.write_text("\n".join(["file_name,split", *lines]))
    with_splits = CorpusArguments(str(table), "auto")
    assert len(with_splits.load()) == 20 and with_splits.corpus_split == "train"
    views = ViewArguments(noise=str(table), noise_split="auto")
    assert len(views.build(plain.load()).noise_bank.sources) == 20 and views.noise_split == "train"
    assert noise_key(views) != noise_key(ViewArguments(noise=str(audio), noise_split="none"))
    table.write_text("\n".join(["file_name,split", *lines[20:]]))
    with pytest.raises(ValueError, match="no row with split 'train'; it has test"):
        CorpusArguments(str(table), "auto").load()


def test_audio_inside_a_table_is_not_read_into_a_list(audio, tmp_path, monkeypatch):
    rows = load_corpus(audio)
    cells = [{"bytes": open(c["path"], "rb").read(), "path": None} for c in rows["audio"]]
    table = datasets.Dataset.from_dict({"audio": cells, "id": rows["id"][:]})
    table.cast_column("audio", datasets.Audio(decode=False)).to_parquet(tmp_path / "a.parquet")
    given = {}

    def bank(sources, speech_sources, babble_probability, speech_names):
        assert speech_names == rows["id"][:]
        given.update(noise=sources, speech=speech_sources)

    monkeypatch.setattr(hf_rspin.views, "NoiseBank", bank)
    corpus = load_corpus(tmp_path)
    ViewArguments(noise=str(tmp_path), babble_probability=0.5).build(corpus)
    for sources in given.values():
        assert not isinstance(sources, list)
        assert len(sources) == 24
        assert sources[3]["bytes"] == cells[3]["bytes"]
