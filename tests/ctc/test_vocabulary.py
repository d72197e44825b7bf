import itertools

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from hf_rspin.ctc.vocabulary import build_tokenizer, frames_needed, outside_vocabulary


def path_of(labels):
    """Return frames of a CTC path: every label twice, blanks between, as a model would say it."""
    return [0, *itertools.chain.from_iterable((label, label, 0) for label in labels)]


@pytest.mark.parametrize(
    ("transcripts", "target", "size"),
    [
        (["caf\u00e9 noir", "a b"], "text", 3 + len(set("caf\u00e9noirab"))),
        (["AA B B CH", "D AA"], "phones", 2 + 4),
    ],
)
def test_a_saved_tokenizer_reads_and_writes_transcripts(tmp_path, transcripts, target, size):
    build_tokenizer(transcripts, target).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == size and tokenizer.pad_token_id == 0
    assert sorted(tokenizer.get_vocab().values()) == list(range(size))
    for transcript in transcripts:
        labels = tokenizer(transcript).input_ids
        assert 0 not in labels and tokenizer.unk_token_id not in labels
        assert tokenizer.decode(path_of(labels)) == transcript


def test_unknown_tokens_have_a_label_and_are_counted():
    tokenizer = build_tokenizer(["ab c"], "text")
    assert tokenizer("xa").input_ids == [tokenizer.unk_token_id, *tokenizer("a").input_ids]
    assert outside_vocabulary(["xa y", "x b"], tokenizer, "text") == {"x": 2, "y": 1}
    phones = build_tokenizer(["AA B"], "phones")
    assert outside_vocabulary(["AA ZH", "ZH B"], phones, "phones") == {"ZH": 2}


def test_the_order_of_utterances_does_not_matter():
    one, other = (build_tokenizer(t, "text").get_vocab() for t in (["ab", "cd"], ["dc", "ba"]))
    assert one == other


def test_no_transcript_is_said():
    with pytest.raises(ValueError, match="no training utterance has a transcript"):
        build_tokenizer(["", ""], "text")


@pytest.mark.parametrize("labels", [[1, 2], [1, 2, 1], [1, 1], [2, 2, 2, 1, 1]])
def test_frames_needed_is_where_ctc_becomes_finite(labels):
    def loss(frames):
        logits = torch.zeros(frames, 1, 3).log_softmax(-1)
        return torch.nn.functional.ctc_loss(
            logits, torch.tensor([labels]), torch.tensor([frames]), torch.tensor([len(labels)])
        )

    needed = frames_needed(labels)
    assert np.isfinite(loss(needed).item()) and not np.isfinite(loss(needed - 1).item())
