"""Nothing in a checkpoint runs, is imported, or makes the reader allocate what is not there."""

import builtins
import contextlib
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import types
import zipfile
from io import BytesIO

import pytest
import torch
from safetensors.torch import load_file

from hf_rspin.hub.convert import convert_checkpoint
from hf_rspin.hub.stored_tensors import BUILDERS, StoredTensor, read_storage_id
from hf_rspin.hub.torch_files import open_torch_file
from hf_rspin.inert_pickle import BoundedStream, CheckpointError, Global, Inert, read_pickle

from .official_files import build, fairseq_checkpoint, spin_checkpoint

_watching: list[list[str]] = []


def _audit(event, arguments):
    for events in _watching:
        if event.split(".")[0] in ("import", "exec", "compile", "os", "subprocess", "pickle"):
            events.append(f"{event} {arguments!r:.80}")


sys.addaudithook(_audit)


@contextlib.contextmanager
def nothing_runs():
    """Fail where the interpreter imports, compiles, unpickles or starts anything inside."""
    events = []
    _watching.append(events)
    try:
        yield
    finally:
        _watching.remove(events)
    assert not events


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class Built:
    """Pickles as an object that `__setstate__` would fill."""

    def __init__(self, state):
        self.state = state

    def __setstate__(self, state):
        os.system(state)

    def __getstate__(self):
        return self.state


def read(data):
    found = {}
    stream = BoundedStream(BytesIO(data), len(data))
    return read_pickle(stream, BUILDERS, read_storage_id, found), found


def absent_object():
    """Return an object of a class that cannot be imported when its pickle is read."""
    module = types.ModuleType("absent_logger_package")
    module.Logger = type("Logger", (), {"__module__": "absent_logger_package"})
    sys.modules["absent_logger_package"] = module
    return module.Logger()


@pytest.fixture
def flag(tmp_path):
    return tmp_path / "it_ran"


@pytest.fixture
def malice(flag):
    """Return objects that create the file `flag` when pickle or torch load them."""
    command = f"touch {flag}"
    inner = pickle.dumps(Call(os.system, command))
    with_storage = BytesIO()
    torch.save(Call(os.system, command), with_storage)
    return [
        Call(os.system, command),
        Call(eval, f"open({str(flag)!r}, 'w').close()"),
        Call(exec, f"open({str(flag)!r}, 'w').close()"),
        Call(subprocess.check_call, ["touch", str(flag)]),
        Call(pickle.loads, inner),
        Built(command),
        Call(builtins.__import__, "antigravity"),
        Call(torch.load, BytesIO(with_storage.getvalue())),
        Call(torch.storage._load_from_bytes, with_storage.getvalue()),
        Call(torch.hub.load, "owner/name", "model"),
        Call(getattr, "x", "__class__"),
    ]


@pytest.mark.parametrize("legacy", [False, True])
def test_malicious_and_absent_objects_stay_inert(legacy, flag, malice, tmp_path):
    encoder = build()
    content = spin_checkpoint(encoder)
    content["hyper_parameters"] = {"logger": absent_object(), "model": {"loss": {"temp": 0.2}}}
    content["callbacks"] = malice
    content["state_dict"]["odd"] = Call(os.system, f"touch {flag}")
    path = tmp_path / "a.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    del sys.modules["absent_logger_package"]
    assert not flag.exists()
    with nothing_runs(), open_torch_file(path) as file:
        assert all(isinstance(one, Inert) for one in file.content["callbacks"])
        assert isinstance(file.content["hyper_parameters"]["logger"], Inert)
    made = convert_checkpoint(path, tmp_path / "out", num_attention_heads=4)
    assert not flag.exists()
    assert {"posix.system", "__builtin__.eval", "absent_logger_package.Logger"} <= set(made.inert)
    assert "absent_logger_package" not in sys.modules
    assert made.model.config.temperature == 0.2
    saved = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in encoder.state_dict().items():
        assert torch.equal(saved[f"hubert.{name}"], value)


def test_the_malice_of_these_tests_is_real(flag, malice):
    for one in malice[:6]:
        pickle.loads(pickle.dumps(one))
        assert flag.exists()
        flag.unlink()


PROGRAMS = {
    "REDUCE": b"cos\nsystem\n(S'touch FLAG'\ntR.",
    "INST": b"(S'touch FLAG'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch FLAG'\no.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n(S'touch FLAG'\nt\x81.",
    "NEWOBJ_EX": b"\x80\x04cos\nsystem\n(S'touch FLAG'\nt}\x92.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch FLAG\x85R.",
    "a method by its dotted name": b"\x80\x04\x8c\x02os\x8c\x0bpath.exists\x93\x8c\x01x\x85R.",
    "BUILD of a call": b"cos\nsystem\n(S'touch FLAG'\ntR(dS'__class__'\ncos\nsystem\nsb.",
    "copyreg": b"ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
    "extension registry": b"\x80\x02\x82\x01(S'touch FLAG'\ntR.",
    "a name of our own table with state": b"ccollections\nOrderedDict\n)R}S'__class__'\nNsb.",
    "persistent id": b"\x80\x02(S'module'\ncos\nsystem\nS'touch FLAG'\ntQ.",
    "persistent id of text": b"Ptouch FLAG\n.",
    "a call of a tensor": b"ctorch._utils\n_rebuild_tensor_v2\n(S'a'\nI0\n)I0\nNNtR(S'x'\ntR.",
    "a nested name": b"c__main__\nos.system\n(S'touch FLAG'\ntR.",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_opcode_that_calls_is_inert(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with nothing_runs():
        result, _ = read(PROGRAMS[name])
    assert isinstance(result, Inert | Global | dict)
    assert type(result) is not dict or result == {}
    assert not os.path.exists("FLAG")


def test_state_of_objects_is_kept_as_plain_data_only():
    result, found = read(pickle.dumps(types.SimpleNamespace(heads=4, odd=print), 2))
    assert isinstance(result, Inert) and result.state["heads"] == 4
    assert isinstance(result.state["odd"], Global)
    assert "types.SimpleNamespace" in found or "__builtin__.print" in found


def test_plain_data_comes_back_as_it_was():
    data = {
        "n": [1, -(2**70), 2.5, True, False, None, "ä\ud800", b"bytes", bytearray(b"x"), (), (1,)],
        "d": {"x": {1: (1, 2), "y": [[], {}]}, -5: (1, 2, 3, 4)},
    }
    for protocol in range(6):
        result, found = read(pickle.dumps(data, protocol))
        if protocol >= 3:
            assert result["n"][:8] == data["n"][:8] and result["n"][9:] == data["n"][9:]
        else:
            assert result["n"][:7] == data["n"][:7] and result["n"][9:] == data["n"][9:]
        assert result["d"] == data["d"]


BOMBS = {
    "a text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "bytes longer than the file": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "a byte array longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "a number longer than the file": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x.",
    "a number of too many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a huge memo index of text": b"Np" + b"9" * 4000 + b"\n.",
    "no end": b"N" * 100,
    "an empty stack": b"R.",
    "a mark that is missing": b"Nt.",
    "an unknown opcode": b"\xff.",
    "out-of-band buffers": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_in_one_error(name):
    with pytest.raises(CheckpointError, match="its pickle"):
        read(BOMBS[name])


def test_a_huge_memo_index_takes_no_memory():
    result, _ = read(b"\x80\x02Nr" + struct.pack("<I", (1 << 32) - 1) + b".")
    assert result is None


def test_deep_nesting_overflows_no_stack():
    depth = 100_000
    for data in (
        b"]" * depth + b"a" * (depth - 1) + b".",
        b"\x80\x02)" + b"\x85" * depth + b".",
        b"}(" + b")" + b"\x85" * depth + b"Nu.",  # hashing this tuple would recurse
        b"\x80\x02" + b"cx\ny\n)R" * 20_000 + b"b" * 19_999 + b".",
    ):
        result, _ = read(data)
        del result


def test_more_opcodes_than_any_checkpoint_has_are_refused(monkeypatch):
    monkeypatch.setattr("hf_rspin.inert_pickle.MOST_OPCODES", 1000)
    with pytest.raises(CheckpointError, match="more than 1000 opcodes"):
        read(b"N0" * 1000 + b"N.")


STORAGE = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\ntQ"


def tensor(count=6, offset=b"I0\n", shape=b"(I2\nI3\nt", strides=b"(I3\nI1\nt"):
    arguments = STORAGE % count + offset + shape + strides
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"I00\nNtR."


def test_tensors_do_not_reach_outside_their_storage():
    result, _ = read(tensor())
    assert isinstance(result, StoredTensor) and result.shape == (2, 3)
    big = b"I%d\n" % (1 << 48)
    for data in (
        tensor(count=5),
        tensor(offset=b"I1\n"),
        tensor(offset=b"I-1\n"),
        tensor(strides=b"(I4\nI1\nt"),
        tensor(strides=b"(I-3\nI1\nt"),
        tensor(strides=b"(I3\nt"),
        tensor(shape=b"(I2\nI-3\nt"),
        tensor(shape=b"(" + big + b"I1\nt", strides=b"(I0\nI0\nt"),
        tensor(shape=b"(" + big * 2 + b"I0\nt", strides=b"(I0\nI0\nI0\nt"),
        tensor(count=1 << 60),
        tensor(count=-1),
        tensor(shape=b"(" + b"I1\n" * 9 + b"t", strides=b"(" + b"I1\n" * 9 + b"t"),
        tensor(offset=b"I%d\n" % 2**5000),
    ):
        with pytest.raises(CheckpointError):
            read(data)
    for data in (tensor(offset=b"S'0'\n"), tensor(shape=b"S'x'\n"), tensor(offset=b"F0\n")):
        result, _ = read(data)
        assert isinstance(result, Inert)


def rewrite(path, change):
    """Write a zip file anew, as `change` maps a dict of records, without compression."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in change(records).items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(fairseq_checkpoint(build()), path)
    return path


def refused(path, message):
    with pytest.raises(CheckpointError, match=message) as error:
        convert_checkpoint(path, path.with_name("out"))
    assert str(path) in str(error.value)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_records_of_other_sizes_than_claimed(checkpoint):
    rewrite(checkpoint, lambda r: r | {"a/data/5": r["a/data/5"][:-4]})
    refused(checkpoint, r"storage '5' has \d+ bytes; expected")
    rewrite(checkpoint, lambda r: {n: d for n, d in r.items() if n != "a/data/5"})
    refused(checkpoint, r"weight cannot be read: its record 'data/5' is missing")
    rewrite(checkpoint, lambda r: r | {"a/byteorder": b"big"})
    refused(checkpoint, "'big'-endian")
    rewrite(checkpoint, lambda r: {"a/data.pkl": b"N.", "b/data.pkl": b"N."})
    refused(checkpoint, "2 records data.pkl")


def test_archives_that_unpack_to_more_than_they_are(checkpoint):
    rewrite(checkpoint, lambda r: r)
    with zipfile.ZipFile(checkpoint) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
        archive.writestr("a/data/bomb", bytes(10_000_000))
    refused(checkpoint, "not one of torch.save")
    with zipfile.ZipFile(checkpoint, "w") as archive:  # many records on the same bytes
        archive.writestr("a/data.pkl", bytes(100_000))
        for number in range(50):
            twin = zipfile.ZipInfo(f"a/data/{number}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, name, getattr(archive.filelist[0], name))
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    refused(checkpoint, "claim more bytes|damaged")
    with pytest.warns(UserWarning), zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/data.pkl", b"N.")
    refused(checkpoint, "not one of torch.save")


def test_many_weights_on_the_same_bytes_are_refused(tmp_path):
    content = fairseq_checkpoint(build(num_hidden_layers=40))
    shared = torch.rand(48, 32)
    for number in range(40):
        layer = f"encoder.layers.{number}."
        content["model"] |= {
            layer + name: shared.view(-1)[: value.numel()].view(value.shape)
            for name in ("fc1.weight", "fc2.weight", "self_attn.k_proj.weight")
            for value in [content["model"][layer + name]]
        }
    content["model"] |= {
        name: value.new_zeros(1).expand(value.shape)
        for name, value in content["model"].items()
        if name.endswith("bias")
    }
    content["cfg"]["model"]["encoder_layers"] = 40
    torch.save(content, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "reaches outside its storage|claim more bytes")


def test_paths_in_names_of_records_lead_nowhere(checkpoint):
    def move(records):
        data = records["a/data.pkl"].replace(
            b"X\x01\x00\x00\x005", b"X\x0c\x00\x00\x00../../../etc"
        )
        return records | {"a/data.pkl": data, "../../../evil": b"x", "/tmp/evil": b"x"}

    rewrite(checkpoint, move)
    refused(checkpoint, r"record 'data/../../../etc' is missing")


def test_numbers_that_are_no_weights(tmp_path):
    for value, message in [
        (torch.zeros(32, dtype=torch.long), "mask_emb is torch.int64; expected floating"),
        (torch.full((32,), float("nan")), "mask_emb holds NaN"),
        (torch.rand(33), r"masked_spec_embed has shape \(33,\); expected \(32,\)"),
        (torch.rand(0), "1 of its weights are empty: mask_emb"),
    ]:
        content = fairseq_checkpoint(build())
        content["model"]["mask_emb"] = value
        torch.save(content, tmp_path / "a.pt")
        refused(tmp_path / "a.pt", message)


def test_one_list_copied_by_thousands_of_calls_is_refused():
    items = pickle.dumps([(index, 0) for index in range(100_000)], 2)[2:-1]
    calls = b"ccollections\nOrderedDict\nh\x7f\x85R" * 2000
    program = b"\x80\x02" + items + b"q\x7f" + calls + b"."
    assert len(program) < 1_500_000
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="copies more than 2000000 items"):
        read(program)
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()
