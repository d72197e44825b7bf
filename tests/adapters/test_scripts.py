"""`--adapter lora|read` of the training scripts, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from hf_rspin.adapters import load_adapted

ROOT = Path(__file__).parents[2]


def run(script, *arguments, processes=1):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []),
         str(ROOT / "training_scripts" / script), *map(str, arguments)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("script", "adapter"), [("train_spin", "lora"), ("train_laser", "read")])
def test_an_adapter_is_trained_saved_merged_and_loaded(
    script, adapter, main, encoder_folders, audio, waveforms, tmp_path, caplog
):
    folder = encoder_folders["hubert"]
    main(script, "--encoder", folder, "--corpus", audio, "--output_dir", tmp_path,
         "--adapter", adapter, "--max_steps", 2, "--batch_seconds", 4, "--min_seconds", 0.3,
         "--save_steps", 1, "--use_cpu", "true")  # fmt: skip
    loaded = load_adapted(tmp_path)
    features = loaded(waveforms).last_hidden_state
    if adapter == "lora":
        assert "Merged into the encoder" in caplog.text
        plain = AutoModel.from_pretrained(tmp_path / "merged").eval()
        torch.testing.assert_close(plain(waveforms).last_hidden_state, features)
        names = [name for name, _ in loaded.named_parameters() if "lora_A" in name]
        assert names and not any("layers.0." in name for name in names)  # Spin: the top two layers
    else:
        assert f"load_adapted('{tmp_path}')" in caplog.text
        assert not (tmp_path / "merged").exists()


def test_two_processes_train_and_save(encoder_folders, audio, waveforms, tmp_path):
    # the loss reads a state below the top: the adapter of the last layer gets no gradient
    done = run("train_rspin.py", "--encoder", encoder_folders["wavlm"], "--corpus", audio,
               "--output_dir", tmp_path, "--adapter", "lora", "--spin_layer", 2,
               "--without_noise", "true", "--max_steps", 2, "--batch_seconds", 2,
               "--min_seconds", 0.3, "--save_steps", 1, "--use_cpu", "true",
               processes=2)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    features = load_adapted(tmp_path)(waveforms).last_hidden_state
    plain = AutoModel.from_pretrained(tmp_path / "merged").eval()
    found = plain(waveforms).last_hidden_state
    torch.testing.assert_close(found, features, rtol=1e-5, atol=1e-5)


def test_a_wrong_adapter_is_one_sentence(main, encoder_folders, audio, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main("train_spin", "--encoder", encoder_folders["hubert"], "--corpus", audio,
             "--output_dir", tmp_path, "--adapter", "lorra")  # fmt: skip
    assert str(ended.value) == ("adapter is 'lorra'; expected none, lora, read.")
