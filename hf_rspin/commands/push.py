"""Upload a finished folder to the Hub, in one commit, after looking whether anything is missing.

    hf-rspin push runs/rspin owner/name --license apache-2.0 --private
    hf-rspin push runs/rspin owner/name --dry_run   # lists what would go up, and where

Weights, config, code, feature extractor, acoustic pieces and model card go up; checkpoints and
pickles stay here. An upload that breaks off changes nothing on the Hub: run it again.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from pathlib import Path

from hf_rspin.training.cli import exit_on_user_error


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="hf-rspin push", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", help="of a training script or save_pretrained")
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name; made if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a private repository")
    parser.add_argument("--token", help="with write access; default: that of `hf auth login`")
    parser.add_argument("--license", help="of the weights, such as apache-2.0; goes into the card")
    parser.add_argument("--message", default="Upload model", help="title of the commit")
    parser.add_argument(
        "--results", metavar="FOLDER",
        help="of `hf-rspin evaluate`: what it measured with these very weights goes into the card",
    )  # fmt: skip
    parser.add_argument(
        "--dry_run", "--dry-run", action="store_true",
        help="check, list what would be uploaded, and end; changes nothing, needs no connection",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Check, upload, say where it is."""
    given = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    from hf_rspin.hub.check import check_folder
    from hf_rspin.hub.publish import card_license, push_to_hub
    from hf_rspin.publishing.card_file import CARD, unsigned
    from hf_rspin.utils import write_text

    with exit_on_user_error():
        check_folder(given.folder)
        check_repo_id(given.repo_id)
        card = Path(given.folder) / CARD
        text = changed_card(given)
        if given.dry_run:
            print(listing(given, text))
            if given.results:
                print(f"\nThe card would be:\n\n{unsigned(text)}")
            return
        if text != card.read_text(encoding="utf-8"):
            write_text(card, text)
        if card_license(given.folder) is None:
            print("The card names no licence, which others need to use the model: see --license.")
        address = push_to_hub(
            given.folder,
            given.repo_id,
            private=given.private or None,
            token=given.token,
            commit_message=given.message,
        )
    print(f"{address.partition('/commit/')[0]}  (commit {address.partition('/commit/')[2][:12]})")


def check_repo_id(name: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        ValueError: it has blanks, for example, or more than one slash.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(
            f"{name!r} is no name of a repository ({' '.join(str(error).split()).rstrip('.')}); "
            "expected owner/name."
        ) from error


def changed_card(given: argparse.Namespace) -> str:
    """Return the card with the licence and results that were asked for; nothing is written yet.

    Raises:
        ValueError: one of them cannot be added, or nothing was measured of these weights.
    """
    from hf_rspin.evaluation.card_results import results_for_card
    from hf_rspin.hub.publish import set_license, set_results
    from hf_rspin.publishing.card_file import CARD

    with tempfile.TemporaryDirectory() as copy:
        shutil.copy(Path(given.folder) / CARD, copy)
        if given.results:
            set_results(copy, results_for_card(given.results, given.folder))
        if given.license:
            set_license(copy, given.license)
        return (Path(copy) / CARD).read_text(encoding="utf-8")


def listing(given: argparse.Namespace, card: str) -> str:
    """Return what an upload would be: every file with its size, what stays here, the licence."""
    from hf_rspin.hub.publish import card_license
    from hf_rspin.publishing.card_file import CARD
    from hf_rspin.publishing.upload import files_to_upload

    folder = Path(given.folder)
    names = sorted(str(name) for name in files_to_upload(folder))
    sizes = [
        len(card.encode()) if name == CARD else (folder / name).stat().st_size for name in names
    ]
    lines = [f"{size / 1e3:12,.1f} kB  {name}" for name, size in zip(names, sizes, strict=True)]
    going = {Path(name).parts[0] for name in names}
    kept = sorted({path.name for path in folder.iterdir()} - going)
    visibility = "private, where it is made now" if given.private else "as it is, or public if new"
    return "\n".join([
        f"Would go to {given.repo_id} ({visibility}) in one commit, {given.message!r}:",
        *lines,
        f"{sum(sizes) / 1e3:12,.1f} kB  in {len(names)} files",
        f"Stays here: {', '.join(kept) or 'nothing'}",
        f"Licence: {given.license or card_license(folder) or 'none, see --license'}",
        "Nothing was uploaded or changed.",
    ])  # fmt: skip
