"""Write hidden states of an encoder for a folder of speech.

    hf-rspin features speech_folder --encoder microsoft/wavlm-base --layers 6 9 --output_dir out
    hf-rspin features speech_folder --encoder bundled --format npz --precision float32 \\
        --output_dir out

The folder, table or Hub dataset is read in parts: memory is bounded, broken files are left out and
named, and killed at any moment, the same command goes on where it stopped. `--shard i --num_shards
n`, or the tasks of a SLURM array, divide it among processes that share the disk. `out/README.md`
says what the files hold and how to read them in three lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_rspin.extraction.options import FeaturesOptions
from hf_rspin.training.cli import parse_arguments

if TYPE_CHECKING:
    from hf_rspin.extraction.features import LayerColumns


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: the command line; None: `sys.argv[1:]`.
    """
    (options,) = parse_arguments(
        FeaturesOptions, arguments=arguments, intro=__doc__, words=["corpus"]
    )
    from hf_rspin.extraction.command import run_command

    def load(device: str) -> tuple[LayerColumns, float]:
        from hf_rspin.extraction.features import load_columns

        columns = load_columns(
            options.encoder, options.layers, options.precision, options.normalize, options.bf16,
            device,
        )  # fmt: skip
        return columns, options.file_mb * 1e6 / columns.bytes_per_second

    run_command(options, load)
