"""Write the units of a folder of speech with their times.

    hf-rspin units speech_folder --model runs/rspin --output_dir out
    hf-rspin units speech_folder --encoder facebook/hubert-base-ls960 \\
        --kmeans km100.bin --layer 6 --format npz --output_dir out

The folder, table or Hub dataset is read in parts: memory is bounded, broken files are left out and
named, and killed at any moment, the same command goes on where it stopped. `--shard i --num_shards
n`, or the tasks of a SLURM array, divide it among processes that share the disk. `out/README.md`
says what the files hold and how to read them in three lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_rspin.extraction.options import UnitsOptions
from hf_rspin.training.cli import parse_arguments

if TYPE_CHECKING:
    from hf_rspin.extraction.units import UnitColumns


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line; None: `sys.argv[1:]`.
    """
    (options,) = parse_arguments(UnitsOptions, arguments=arguments, intro=__doc__, words=["corpus"])
    from hf_rspin.extraction.command import run_command

    run_command(options, lambda device: (load_units(options, device), 3600 * options.file_hours))


def load_units(options: UnitsOptions, device: str) -> UnitColumns:
    """Return what turns waveforms into units.

    Raises:
        ValueError: the model, k-means and pieces do not fit each other.
    """
    from hf_rspin.extraction.units import UnitColumns
    from hf_rspin.units.tokenizer import UnitTokenizer

    name = options.kmeans if options.model is None else options.model
    tokenizer = UnitTokenizer.from_pretrained(
        name,
        pieces=None if options.pieces in ("none", "") else options.pieces,
        units=options.units,
        kmeans=options.kmeans,
        layer=options.layer,
        normalize=options.normalize,
        bf16=options.bf16,
        device=device,
    )
    return UnitColumns(tokenizer)
