"""Turn a checkpoint of the authors into a folder that from_pretrained loads.

    hf-rspin convert spin_hubert_256.ckpt runs/spin_hubert_256
    hf-rspin convert wavlm_rspin_32-40k.pt runs/rspin_32

Official Spin (.ckpt) and R-Spin (.pt) files keep projection and codebook. Plain encoders are made
of HuBERT, HuBERT-MGR, MR-HuBERT, ContentVec, data2vec and Robust data2vec (fairseq, or converted by
s3prl), of DistilHuBERT (s3prl) and of WavLM (original). Nothing that a file holds is run.
"""

from __future__ import annotations

import argparse
import logging

from hf_rspin.training.cli import exit_on_user_error


def main(arguments: list[str] | None = None) -> None:
    """Convert, and say what was made."""
    parser = argparse.ArgumentParser(
        prog="hf-rspin convert", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("input", metavar="INPUT", help="checkpoint, .ckpt or .pt")
    parser.add_argument("output", metavar="OUTPUT", help="folder to make")
    parser.add_argument(
        "--num-attention-heads", "--num_attention_heads", type=int, metavar="N",
        help="heads of each layer; default: as the file says, or hidden size / 64",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="config.json of transformers, for what tensors do not tell: heads, strides, pre-norm",
    )  # fmt: skip
    parser.add_argument(
        "--base", metavar="ENCODER",
        help="refuse a file that equals this encoder, such as facebook/hubert-base-ls960: some "
        "that are passed around as ContentVec do",
    )  # fmt: skip
    given = parser.parse_args(arguments)

    from hf_rspin.hub.convert import convert_checkpoint

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with exit_on_user_error():
        made = convert_checkpoint(
            given.input, given.output, given.config, given.num_attention_heads,
            given.base,
        )  # fmt: skip
    print(made.summary())
