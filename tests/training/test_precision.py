"""bfloat16 of configs and defaults is off where a processor emulates it; what is typed is done."""

from dataclasses import dataclass

import pytest
import torch

from hf_rspin.device import has_fast_bfloat16
from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.features import load_features
from hf_rspin.evaluation.precision import folder_precision
from hf_rspin.training.cli import parse_arguments
from hf_rspin.training.precision import without_slow_bfloat16
from hf_rspin.training.training_arguments import TwoViewTrainingArguments
from hf_rspin.utils import option


@dataclass
class Two:
    bf16: bool = option(False, "of the encoder")
    teacher_bf16: bool = option(True, "of the teacher")
    device: str = option("auto", "where")


@pytest.fixture(params=[False, True])
def fast(monkeypatch, request):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param, "amx_bf16": False}
    )
    return request.param


def test_a_config_and_a_default_ask_for_what_is_fast(fast, tmp_path, capsys):
    file = tmp_path / "a.yaml"
    file.write_text("bf16: true\n")
    (found,) = parse_arguments(Two, arguments=[str(file)])
    assert (found.bf16, found.teacher_bf16) == (fast, fast)
    said = capsys.readouterr().err
    assert said.startswith("bf16 and teacher_bf16 false: this processor") if not fast else not said
    (found,) = parse_arguments(EvaluationScriptArguments, arguments=["--encoders", "bundled"])
    assert found.bf16 is None and folder_precision(tmp_path / "new", None, "cpu") is fast
    (found,) = parse_arguments(EvaluationScriptArguments, arguments=[str(file)])
    assert found.bf16 is fast


@pytest.mark.parametrize("typed", [["--bf16", "true"], ["--bf16=true"], ["--bf16"]])
def test_what_is_typed_is_done_with_a_warning(fast, typed, capsys):
    (found,) = parse_arguments(Two, arguments=[*typed, "--teacher_bf16", "false"])
    assert (found.bf16, found.teacher_bf16) == (True, False)
    assert ("slower with it" in capsys.readouterr().err) is not fast


def test_nothing_is_said_where_nobody_asks(fast, capsys):
    (found,) = parse_arguments(Two, arguments=["--no_teacher_bf16"])
    assert (found.bf16, found.teacher_bf16) == (False, False)
    assert not capsys.readouterr().err


def test_a_gpu_decides_for_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert parse_arguments(Two, arguments=["--bf16", "true"])[0].bf16
    assert parse_arguments(Two, arguments=[])[0].teacher_bf16
    (found,) = parse_arguments(Two, arguments=["--device", "cpu"])
    assert not found.teacher_bf16, "the CPU beside the GPU emulates"


def test_a_gpu_without_bfloat16_is_told_of_its_own_half_precision(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert without_slow_bfloat16([TwoViewTrainingArguments], {"bf16": True}, []) == ["--bf16=false"]
    said = capsys.readouterr().err
    assert said.startswith("bf16 false: this GPU has no instructions") and "--fp16 true" in said
    assert without_slow_bfloat16([TwoViewTrainingArguments], {"bf16": True}, ["--use_cpu"]) == (
        [] if has_fast_bfloat16("cpu") else ["--bf16=false"]
    )
    assert not without_slow_bfloat16([TwoViewTrainingArguments], {}, ["--bf16"])
    assert "GPU" in capsys.readouterr().err


def test_training_arguments_never_hear_of_what_is_off(fast, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(f"bf16: true\noutput_dir: {tmp_path / 'run'}\n")
    (found,) = parse_arguments(TwoViewTrainingArguments, arguments=[str(file)])
    assert found.bf16 is fast
    assert found.mixed_precision == ("bf16" if fast else "no")


def test_features_are_in_bfloat16_where_that_is_fast(fast):
    assert load_features("bundled").bf16 is fast
    assert (
        load_features("bundled", bf16=True).bf16 and not load_features("bundled", bf16=False).bf16
    )
