"""Times of phones and words of a corpus, by forced alignment with a CTC model of ours.

    hf-rspin align --model runs/ctc --corpus speech \\
        --output speech/alignments.jsonl

`hf-rspin finetune-ctc` makes the model. The corpus has the column that it was trained on: `phones`
(words, too, where "|" separates them) or `text` (words only). The output is read where it lies in
the folder of the corpus as `alignments.jsonl`: `load_corpus` then has the columns `alignment`,
`word_alignment` and `alignment_score` (mean log probability per frame; utterances far below the
others are badly aligned or badly transcribed). Killed at any moment, the same command goes on where
it stopped. Utterances that cannot be aligned are named with the reason, and get no line.
"""

from __future__ import annotations

from hf_rspin.ctc.align_arguments import AlignArguments
from hf_rspin.training.cli import parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Align a corpus."""
    (parsed,) = parse_arguments(AlignArguments, arguments=arguments, intro=__doc__)
    from hf_rspin.ctc.align_run import align_phones

    align_phones(parsed)
