"""The features of a teacher on disk: equal to its own, computed once, refused where they differ."""

import json
import pickle
import shutil

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from hf_rspin.audio import AudioError, normalize_waveforms, num_frames, num_samples, read_audio
from hf_rspin.data import SkippedFiles, load_corpus
from hf_rspin.distillation.teacher_cache import TeacherCache, cache_teacher
from hf_rspin.distillation.teachers import EncoderTeacher, check_layers, load_teacher
from hf_rspin.models.loading import load_encoder
from hf_rspin.utils import NoSpaceError

from .conftest import save_encoder


class Counting:
    """A teacher that counts the waveforms it is given, and is killed by one of them."""

    def __init__(self, teacher, last=10**9):
        self.teacher, self.last, self.lengths = teacher, last, []
        self.num_layers, self.dim = teacher.num_layers, teacher.dim
        self.provenance = teacher.provenance

    def features(self, waveforms, layers):
        if len(self.lengths) + len(waveforms) > self.last:
            raise KeyboardInterrupt
        self.lengths += map(len, waveforms)
        return self.teacher.features(waveforms, layers)


@pytest.fixture(scope="module")
def teacher(hubert):
    return load_teacher(hubert, bf16=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, teacher, corpus):
    return cache_teacher(tmp_path_factory.mktemp("cache"), teacher, [0, 2, 3], corpus,
                         shard_seconds=5)  # fmt: skip


def raw(cache, utterance):
    """Features (layers, frames, dim) as they were before they were standardised."""
    values = cache.features(utterance, 0, int(cache.frames[utterance]))
    return values * cache.deviation + cache.mean


def test_features_are_those_of_the_teacher_alone(cache, corpus, hubert):
    model = load_encoder(hubert)
    assert cache.ids == list(corpus["id"]) and len(cache) == 8
    assert (cache.layers, cache.dim) == ([0, 2, 3], 16)
    for place, row in enumerate(corpus):
        waveform = read_audio(row["audio"])
        count = num_frames(len(waveform))
        assert cache.frames[place] == count
        with torch.no_grad():
            values = torch.from_numpy(waveform[: num_samples(count)])[None]
            states = model(values, output_hidden_states=True).hidden_states
        wanted = torch.cat([states[layer] for layer in (0, 2, 3)])
        torch.testing.assert_close(raw(cache, place), wanted, rtol=2e-3, atol=4e-3)


def test_what_is_cached_is_standardised(cache):
    every = torch.cat([cache.features(i, 0, int(n)) for i, n in enumerate(cache.frames)], dim=1)
    torch.testing.assert_close(every.mean(dim=1), torch.zeros(3, 16), rtol=0, atol=1e-4)
    torch.testing.assert_close(every.std(dim=1, correction=0), torch.ones(3, 16), rtol=0,
                               atol=1e-3)  # fmt: skip


def test_a_part_is_the_part_of_the_whole(cache, corpus):
    whole = cache.features(5, 0, int(cache.frames[5]))
    assert torch.equal(cache.features(5, 17, 31), whole[:, 17:48])
    waveform = read_audio(corpus[5]["audio"])
    part = cache.audio(5, 17, num_samples(31))
    assert part.dtype == np.float32
    wanted = waveform[320 * 17 : 320 * 17 + num_samples(31)]
    np.testing.assert_allclose(part, wanted, atol=0.51 / 32767)
    last = int(cache.frames[5]) - 1
    assert len(cache.audio(5, last, 400)) == 400 and cache.features(5, last, 1).shape == (3, 1, 16)


@pytest.mark.parametrize("kind", ["wavlm", "whisper"])
def test_other_teachers_fit_the_same_frames(kind, tmp_path, request, corpus, cache):
    teacher = load_teacher(request.getfixturevalue(kind), bf16=False)
    found = cache_teacher(tmp_path, teacher, [1], corpus)
    assert found.ids == cache.ids and np.array_equal(found.frames, cache.frames)
    assert found.dim == {"wavlm": 20, "whisper": 12}[kind]
    waveform = read_audio(corpus[0]["audio"])[: num_samples(int(cache.frames[0]))]
    (wanted,) = teacher.features([waveform], [1])
    torch.testing.assert_close(raw(found, 0)[0], wanted[:, 0], rtol=5e-2, atol=5e-2)


def test_a_teacher_hears_what_its_folder_asks_for(wavlm):
    teacher = load_teacher(wavlm, bf16=False)
    assert teacher.normalize and (teacher.num_layers, teacher.dim) == (4, 20)
    waveforms = [0.05 * np.random.default_rng(i).normal(size=8000 + 400 * i) for i in range(3)]
    waveforms = [wave.astype(np.float32) for wave in waveforms]
    as_is = EncoderTeacher(teacher.model, normalize=False, bf16=False)
    given = as_is.features([normalize_waveforms(wave) for wave in waveforms], [3])
    for one, other in zip(teacher.features(waveforms, [3]), given, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    louder = teacher.features([4 * wave for wave in waveforms], [3])
    torch.testing.assert_close(louder[0], given[0], rtol=1e-3, atol=1e-4)


def test_a_folder_without_the_embedding_of_masked_frames_is_one_teacher(tmp_path):
    """Each loading draws it anew; it decides no feature."""
    model = save_encoder(tmp_path)
    weights = {n: v for n, v in model.state_dict().items() if n != "masked_spec_embed"}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    teachers = [load_teacher(tmp_path, bf16=False) for _ in range(2)]
    assert not torch.equal(*(one.model.masked_spec_embed for one in teachers))
    assert teachers[0].provenance == teachers[1].provenance


def test_layers_that_a_teacher_lacks_are_refused(teacher):
    for layers in ([4], [-1, 2]):
        with pytest.raises(ValueError, match=r"of it are \[.*\]; expected some of 0 to 3"):
            check_layers("it", teacher, layers)
    check_layers("it", teacher, [0, 3])


def test_a_killed_run_goes_on_with_the_next_shard(tmp_path, teacher, corpus, cache):
    killed = Counting(teacher, last=5)
    with pytest.raises(KeyboardInterrupt):
        cache_teacher(tmp_path, killed, [0, 2, 3], corpus, shard_seconds=5)
    done = sorted(file.name for file in tmp_path.glob("shard_*.json"))
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in done}
    assert 1 <= len(done) and 0 < len(killed.lengths) < 8
    again = Counting(teacher)
    found = cache_teacher(tmp_path, again, [0, 2, 3], corpus, shard_seconds=5)
    assert len(again.lengths) == 8 - len(killed.lengths)
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in times.items())
    assert found.ids == cache.ids and torch.equal(found.mean, cache.mean)
    for place in range(8):
        count = int(cache.frames[place])
        assert torch.equal(found.features(place, 0, count), cache.features(place, 0, count))
    third = Counting(teacher)
    cache_teacher(tmp_path, third, [0, 2, 3], corpus, shard_seconds=5)
    assert third.lengths == []
    assert not list(tmp_path.glob(".*tmp"))


def test_a_shard_without_its_index_is_computed_again(tmp_path, teacher, corpus, cache):
    shutil.copytree(cache.folder, tmp_path / "copy")
    last = sorted((tmp_path / "copy").glob("shard_*.json"))[-1]
    last.with_suffix(".features.npy").write_bytes(b"torn")
    last.unlink()
    again = Counting(teacher)
    found = cache_teacher(tmp_path / "copy", again, [0, 2, 3], corpus, shard_seconds=5)
    assert 0 < len(again.lengths) < 8
    assert torch.equal(found.features(7, 0, 9), cache.features(7, 0, 9))


def test_features_of_something_else_are_refused(tmp_path, teacher, corpus, cache):
    save_encoder(tmp_path / "other", layer_norm_eps=1e-3)
    model = load_encoder(tmp_path / "other")
    with torch.no_grad():
        model.encoder.layers[0].attention.q_proj.bias[0] += 1
    other = EncoderTeacher(model, bf16=False)
    coarse = EncoderTeacher(teacher.model, bf16=True)
    cases = [
        ((other, [0, 2, 3], corpus), "teacher_weights"),
        ((coarse, [0, 2, 3], corpus), r"bf16 False \(now True\)"),
        ((teacher, [0, 2], corpus), r"layers \[0, 2, 3\] \(now \[0, 2\]\)"),
        ((teacher, [0, 2, 3], corpus.select(range(7))), r"utterances 8 \(now 7\)"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=f"holds shard_00000.json made from .*{message}.*: "
                           "name another folder or remove it.$"):  # fmt: skip
            cache_teacher(cache.folder, *given, shard_seconds=5)
    assert TeacherCache(cache.folder).ids == cache.ids


def test_files_that_cannot_be_used_are_skipped_and_named(tmp_path, teacher, speech):
    folder = tmp_path / "speech"
    shutil.copytree(speech, folder)
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    soundfile.write(folder / "short.wav", 0.1 * np.ones(5000), 16000)
    corpus, skipped = load_corpus(folder), SkippedFiles()
    torn = (folder / "3.flac").read_bytes()
    (folder / "3.flac").write_bytes(torn[: len(torn) // 2] + bytes(2000))
    found = cache_teacher(tmp_path / "cache", teacher, [1], corpus, 1.0, skipped=skipped)
    assert {"3.flac", "silent.wav"} == {name.split("/")[-1] for name in skipped.reasons}
    assert found.ids == [str(n) for n in (0, 1, 2, 4, 5, 6, 7)]  # "short" is below a second
    again = SkippedFiles()  # a run that finds the features there says the same
    cache_teacher(tmp_path / "cache", teacher, [1], corpus, 1.0, skipped=again)
    assert again.reasons == skipped.reasons
    with pytest.raises(AudioError, match=r"(3\.flac|silent\.wav)"):
        cache_teacher(tmp_path / "strict", teacher, [1], corpus, skipped=SkippedFiles(True))


def test_shards_without_any_usable_file(tmp_path, teacher, speech):
    folder = tmp_path / "speech"
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", np.zeros(32000), 16000)
    with pytest.raises(AudioError, match="holds no features: no utterance could be used"):
        cache_teacher(tmp_path / "a", teacher, [1], load_corpus(folder), shard_seconds=2)
    shutil.copy(speech / "0.flac", folder / "9.flac")
    found = cache_teacher(tmp_path / "b", teacher, [1], load_corpus(folder), shard_seconds=2)
    assert found.ids == ["9"] and found.features(0, 3, 5).isfinite().all()
    with pytest.raises(AudioError, match="the corpora hold no utterance of 90 s or more"):
        cache_teacher(tmp_path / "c", teacher, [1], load_corpus(folder), min_seconds=90)
    assert not (tmp_path / "c").exists()


def test_features_that_the_disk_has_no_room_for_are_refused_first(tmp_path, corpus, hubert):
    teacher = load_teacher(hubert, bf16=False)
    teacher.dim = 10**15  # its features would take exabytes
    with pytest.raises(NoSpaceError, match=r"needs \d+\.\d GB, and the disk has .* GB left: free"):
        cache_teacher(tmp_path / "huge", teacher, [1], corpus)
    assert not list((tmp_path / "huge").glob("shard*"))


def test_a_header_longer_than_its_audio(tmp_path, teacher):
    """The frames of an utterance are those of its samples, whatever its header says."""
    folder = tmp_path / "speech"
    folder.mkdir()
    generator = np.random.default_rng(0)
    soundfile.write(folder / "a.wav", 0.1 * generator.normal(size=48000), 16000)
    content = bytearray((folder / "a.wav").read_bytes())
    (folder / "a.wav").write_bytes(content[: 44 + 2 * 20000])
    soundfile.write(folder / "b.wav", 0.1 * generator.normal(size=30000), 16000)
    skipped = SkippedFiles()
    found = cache_teacher(tmp_path / "c", teacher, [1], load_corpus(folder, skipped=skipped),
                          skipped=skipped)  # fmt: skip
    counts = dict(zip(found.ids, found.frames.tolist(), strict=True))
    assert counts["b"] == num_frames(30000)
    assert counts.get("a", num_frames(20000)) == num_frames(20000)
    assert ("a" in counts) != any(name.endswith("a.wav") for name in skipped.reasons)


def test_a_constant_dimension_stays_finite(tmp_path, corpus, hubert):
    model = load_encoder(hubert)
    with torch.no_grad():
        model.encoder.layers[2].final_layer_norm.weight[3] = 0
        model.encoder.layers[2].final_layer_norm.bias[3] = 7
    found = cache_teacher(tmp_path, EncoderTeacher(model, bf16=False), [3], corpus)
    values = found.features(0, 0, int(found.frames[0]))[0]
    assert values.isfinite().all() and values[:, 3].abs().max() < 1e-3


def test_values_beyond_float16_are_clipped_and_nan_is_refused(tmp_path, corpus, hubert):
    model = load_encoder(hubert)
    with torch.no_grad():
        model.encoder.layers[2].final_layer_norm.weight[3] = 1e5
    found = cache_teacher(tmp_path / "a", EncoderTeacher(model, bf16=False), [3], corpus)
    assert found.features(0, 0, 50).isfinite().all() and found.deviation.isfinite().all()
    with torch.no_grad():
        model.encoder.layers[2].final_layer_norm.weight[3] = torch.nan
    with pytest.raises(ValueError, match="gives NaN or infinite values; expected finite ones"):
        cache_teacher(tmp_path / "b", EncoderTeacher(model, bf16=False), [3], corpus)


def test_a_cache_travels_to_the_workers_of_a_loader(cache):
    cache.features(0, 0, 3)  # opens a file
    copy = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 20_000  # no features inside
    assert torch.equal(copy.features(6, 2, 9), cache.features(6, 2, 9))
    assert np.array_equal(copy.audio(6, 2, 900), cache.audio(6, 2, 900))
    assert copy.fingerprint() == cache.fingerprint()
    assert json.loads(cache.fingerprint())["layers"] == [0, 2, 3]
