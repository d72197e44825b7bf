"""Upload a finished folder to the Hub, in one commit, after looking whether anything is missing.

    python training_scripts/push_to_hub.py runs/rspin owner/name --license apache-2.0 --private

Weights, config, code, feature extractor, acoustic pieces and model card go up; checkpoints and
pickles stay here. An upload that breaks off changes nothing on the Hub: run it again.
"""

from __future__ import annotations

import argparse
import logging

from hf_rspin.hub.check import check_folder
from hf_rspin.hub.publish import card_license, push_to_hub, set_license
from hf_rspin.training.cli import exit_on_user_error


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="FOLDER", help="of a training script or save_pretrained")
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name; made if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a private repository")
    parser.add_argument("--token", help="with write access; default: that of `hf auth login`")
    parser.add_argument("--license", help="of the weights, such as apache-2.0; goes into the card")
    parser.add_argument("--message", default="Upload model", help="title of the commit")
    return parser.parse_args()


def main() -> None:
    """Check, upload, say where it is."""
    arguments = parse()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with exit_on_user_error():
        check_folder(arguments.folder)
        if arguments.license:
            set_license(arguments.folder, arguments.license)
        elif card_license(arguments.folder) is None:
            print("The card names no licence, which others need to use the model: see --license.")
        address = push_to_hub(
            arguments.folder,
            arguments.repo_id,
            private=arguments.private or None,
            token=arguments.token,
            commit_message=arguments.message,
        )
    print(f"{address.partition('/commit/')[0]}  (commit {address.partition('/commit/')[2][:12]})")


if __name__ == "__main__":
    main()
