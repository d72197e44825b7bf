"""Turn a corpus into frame labels: units, then acoustic pieces on top of them.

    hf-rspin labels --corpus speech_folder --units spin \\
        --model runs/spin --vocab_size 40000 --output_dir runs/labels

`--corpora` instead of `--corpus` reads several, as distillation does (`hf-rspin
distill --units runs/labels/units`), whose teacher may be Whisper: `--units layer --encoder
whisper_folder --layer 2 --standardize true --vocab_size 0`.

It writes `units/` (one unit per frame), `acoustic_pieces/` (the learned vocabulary) and `pieces/`
(one piece per frame, the pseudo-labels of `hf-rspin train`) into the output folder. Killed at any
moment, the same command goes on where it stopped; with other settings it refuses the folder.
"""

from __future__ import annotations

from hf_rspin.labelling.arguments import PseudoLabelArguments
from hf_rspin.training.cli import parse_arguments
from hf_rspin.training.corpus_arguments import CorpusArguments


def main(arguments: list[str] | None = None) -> None:
    """Make pseudo-labels of a corpus."""
    parsed = parse_arguments(
        CorpusArguments, PseudoLabelArguments, arguments=arguments, intro=__doc__
    )
    from hf_rspin.labelling.run import make_pseudo_labels

    make_pseudo_labels(*parsed)
