"""A damaged, foreign or incomplete file ends in one sentence, and leaves nothing behind."""

import json
import random
import re
import shutil
import tarfile

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file

from hf_rspin.hub.convert import convert_checkpoint
from hf_rspin.inert_pickle import CheckpointError

from .official_files import build, fairseq_checkpoint, rspin_checkpoint, spin_checkpoint

TINY = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8, "conv_dim": (2,) * 7}
EXPLAINED = (ValueError, OSError, StrictDataclassError)  # what scripts end with one sentence


def refused(path, message, **options):
    with pytest.raises(ValueError, match=message) as error:
        convert_checkpoint(path, path.parent / "out", **options)
    assert "\n" not in str(error.value)
    assert not (path.parent / "out").exists()
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]


def test_foreign_files_are_called_what_they_are(tmp_path):
    path = tmp_path / "a.pt"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    for data, message in [
        (b"", "is empty"), (b"RIFF0000WAVE" * 99, "none of the known signatures"),
        (b"\n<!DOCTYPE html><html>", "is a web page"), (pointer, "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(99), "cut off or damaged"),
    ]:  # fmt: skip
        path.write_bytes(data)
        refused(path, message)
    save_file({"a": torch.zeros(1)}, path)
    refused(path, "safetensors file")
    (tmp_path / "storages").write_bytes(b"x")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(tmp_path / "storages", "storages")
    refused(path, "tar archive")
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    refused(path, "cannot be converted")
    refused(tmp_path / "absent.pt", "is no file")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "is no file")


def test_files_of_torch_without_an_encoder(tmp_path):
    path, weights = tmp_path / "a.pt", build().state_dict()
    for content, message in [
        ([1, 2], r"no tensors by name .* \(it has: list\)"),
        ({"epoch": 1, "lr": 0.1}, r"\(it has: epoch, lr\)"),
        ({"model": torch.nn.Linear(2, 2)}, "not a whole pickled module"),
        (torch.zeros(3), "no tensors by name"),
        ({"fc.weight": torch.zeros(3)}, "no weight of a HuBERT or WavLM"),
        (weights, "names of transformers already"),
        ({"encoder.layers.0.fc1.weight": torch.zeros(3, 3)}, "of its weights are missing"),
        ({"encoder.layers.999999.fc1.weight": torch.zeros(3, 3)}, "no weight of a HuBERT"),
    ]:
        torch.save(content, path)
        refused(path, message)
    weights = fairseq_checkpoint(build())["model"]
    twice = weights | {f"ema.{name}": value for name, value in weights.items()}
    torch.save({"model": twice}, path)
    refused(path, "two encoders")
    torch.save({"model": weights | {"encoder.layers.99999.fc1.weight": torch.zeros(1)}}, path)
    refused(path, "numbers above")


@pytest.mark.parametrize("make", [spin_checkpoint, rspin_checkpoint, fairseq_checkpoint])
@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_each_missing_weight_is_named(make, family, tmp_path):
    content, path = make(build(family)), tmp_path / "a.pt"
    place = "model" if "model" in content else "state_dict"
    for name in list(content[place]):
        if name.endswith("label_embs_concat") or name.startswith("final_proj"):
            continue
        weights = {key: value for key, value in content[place].items() if key != name}
        torch.save(content | {place: weights}, path)
        # without the last convolution, only the kernels tell that one is missing
        shown = name[name.index("feature") :] if ".conv_layers.6.0." in name else name
        pattern = f"1 of its weights are missing: {re.escape(shown)}"
        refused(path, pattern, num_attention_heads=4)


def test_whole_parts_that_are_missing(tmp_path):
    path = tmp_path / "a.pt"
    content = rspin_checkpoint(build("wavlm"))
    weights = {n: v for n, v in content["state_dict"].items() if not n.startswith("encoder.enc")}
    torch.save(content | {"state_dict": weights}, path)
    refused(path, r"of its weights are missing: .* and \d+ more")
    content = fairseq_checkpoint(build())
    weights = {n: v for n, v in content["model"].items() if "encoder.layers.1." not in n}
    torch.save(content | {"model": weights}, path)  # a shorter encoder, by its tensors alone
    refused(path, "num_hidden_layers is 2 by the file's own settings, but 1 by its tensors")
    content = spin_checkpoint(build())
    content["state_dict"]["pred_head.layers.1.weight"] = torch.rand(3, 3)
    torch.save(content, path)
    refused(path, "projection has several layers, pred_head.layers.1.weight")


def test_weights_of_shapes_that_do_not_fit(tmp_path):
    path = tmp_path / "a.pt"
    for name, value, message in [
        ("encoder.layers.1.fc1.weight", torch.rand(47, 32), r"\(47, 32\); expected \(48, 32\)"),
        ("post_extract_proj.weight", torch.rand(32), r"has shape \(32,\); expected 2 axes"),
        ("encoder.pos_conv.0.weight_v", torch.rand(32, 5, 8), "5 channels per group"),
        ("encoder.pos_conv.0.weight_v", torch.rand(32, 64, 8), "64 channels per group"),
        ("feature_extractor.conv_layers.3.0.weight", torch.rand(8, 8), "expected 3 axes"),
        ("feature_extractor.conv_layers.3.0.weight", torch.rand(8, 7, 3), "expected"),
        ("encoder.layers.0.fc2.bias", torch.rand(1), r"\(1,\); expected \(32,\)"),
    ]:
        content = fairseq_checkpoint(build())
        content["model"][name] = value
        torch.save(content, path)
        refused(path, message)


def test_an_output_that_holds_something_is_refused_before_work(tmp_path):
    path = tmp_path / "absent.pt"
    path.write_bytes(b"never read")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="out is not empty"):
        convert_checkpoint(path, out)
    for place in (out / "notes.txt", out / "notes.txt" / "deeper"):
        with pytest.raises(ValueError, match="notes.txt is a file"):
            convert_checkpoint(path, place)
    assert (out / "notes.txt").read_text() == "mine"
    torch.save(fairseq_checkpoint(build()), path)
    (out / "notes.txt").unlink()
    convert_checkpoint(path, out)  # empty: taken
    convert_checkpoint(path, tmp_path / "new" / "deeper" / "out")
    assert json.loads((out / "config.json").read_text())["num_attention_heads"] == 4


def test_a_failure_while_saving_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    torch.save(fairseq_checkpoint(build()), path)
    (tmp_path / "out").mkdir()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hf_rspin.hub.convert.write_card", full)
    with pytest.raises(OSError, match="No space"):
        convert_checkpoint(path, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pt", "out"]
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture(params=["zip", "legacy"])
def tiny(request, tmp_path):
    """A tiny file of either format, its bytes, and its weights once converted."""
    path = tmp_path / "a.pt"
    encoder = build(**TINY, num_conv_pos_embeddings=2)
    content = fairseq_checkpoint(encoder, encoder_layers=1)
    del content["extra_state"]
    torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip")
    convert_checkpoint(path, tmp_path / "good")
    weights = load_file(tmp_path / "good" / "model.safetensors")
    shutil.rmtree(tmp_path / "good")
    return path, path.read_bytes(), weights, request.param


def attempt(path):
    """Convert; return the weights, or None where that was refused in one sentence."""
    out = path.parent / "out"
    try:
        convert_checkpoint(path, out)
    except EXPLAINED as error:
        assert "\n" not in str(error) or isinstance(error, StrictDataclassError)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        return None
    weights = load_file(out / "model.safetensors")
    shutil.rmtree(out)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return weights


def test_cut_off_anywhere(tiny):
    path, data, _, _ = tiny
    cuts = {*range(0, len(data), len(data) // 60), *range(len(data) - 30, len(data))}
    for length in sorted(cuts):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as error:
            convert_checkpoint(path, path.parent / "out")
        assert "\n" not in str(error.value)
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_bytes_changed_anywhere(tiny):
    path, data, weights, kind = tiny
    generator, results = random.Random(0), []
    for offset in sorted(generator.sample(range(len(data)), 120)):
        changed = bytearray(data)
        changed[offset] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        results.append(attempt(path))
    kept = [result for result in results if result is not None]
    assert len(kept) < len(results)
    if kind == "zip":  # which has checksums; the format before it has none
        assert all(torch.equal(one[n], weights[n]) for one in kept for n in weights)
    assert all(one.keys() == weights.keys() for one in kept)
    assert all(torch.isfinite(value).all() for one in kept for value in one.values())
