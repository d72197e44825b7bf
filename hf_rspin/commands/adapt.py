"""Adapt an encoder to a folder of own recordings, without any labels.

    hf-rspin adapt FOLDER --output_dir runs/adapted [--encoder microsoft/wavlm-base]

Recordings of any length, rate, number of channels and format (wav, flac, ogg, mp3, in sub-folders
or not) are cut at silences; their pseudo-labels are made, R-Spin trains, and the encoder is
measured before and after on speech that was held out: model/, results.csv and report.html. First
the plan is printed, with hours and memory measured on this machine. Stopped or killed at any
moment, the same command goes on where it stopped.
"""

from __future__ import annotations

from hf_rspin.adapting.options import AdaptOptions
from hf_rspin.training.cli import exit_on_user_error, parse_arguments


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: of the command line, after the name of the command.
    """
    (options,) = parse_arguments(
        AdaptOptions, arguments=arguments, intro=__doc__, words=["folder"]
    )
    with exit_on_user_error():
        options.check_places()  # before the seconds that imports take
    with exit_on_user_error(()):  # Ctrl-C while libraries are imported
        from hf_rspin.adapting.run import run_adaptation
    run_adaptation(options)
