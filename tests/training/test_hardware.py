"""Whether bfloat16 is fast is read from the machine."""

import torch

from hf_rspin.training.hardware import has_fast_bfloat16


def test_what_the_processor_says_decides(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for answer in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda a=answer: {"amx_bf16": a})
        assert has_fast_bfloat16() is answer
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert has_fast_bfloat16() is False
