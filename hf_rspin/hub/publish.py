"""Save a model as it belongs on the Hub, and upload it, or a folder that is finished."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from huggingface_hub import ModelCard
from transformers import AutoConfig, PreTrainedModel

from hf_rspin.hub.check import check_folder
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import default_feature_extractor
from hf_rspin.publishing import has_own_extractor, save_companions
from hf_rspin.publishing.card_file import (
    CARD,
    is_untouched,
    place_card,
    sign,
    unsigned,
    with_metadata,
)
from hf_rspin.publishing.model_card import NOT_RECORDED, ModelCardInfo
from hf_rspin.publishing.upload import upload
from hf_rspin.units import AcousticPieces

RESULTS, LIMITS = "\n## Results\n", "\n## Limits\n"  # sections of a card
OPEN, CLOSE = "<!-- measured by hf-rspin evaluate -->", "<!-- end of what was measured -->"
_MEASURED = re.compile(f"{OPEN}.*?{CLOSE}", re.DOTALL)


def save_for_hub(
    model: PreTrainedModel,
    folder: str | Path,
    pieces: AcousticPieces | None = None,
    card: ModelCardInfo | None = None,
) -> None:
    """Save a model with everything that its users need.

    Those are weights, a clean config, a feature extractor, the code of its heads where it has
    some, acoustic pieces and a model card. A feature extractor that is there for another reason,
    and a README.md that a person wrote or edited, stay.

    Args:
        model: with heads, a plain HuBERT or WavLM, or one with a CTC head.
        folder: where to.
        pieces: acoustic pieces that its pseudo-labels stand for; None for those of
            `model.acoustic_pieces`.
        card: what the card says beside the config; None for `model.card_info`.
    """
    has_extractor = has_own_extractor(folder, default_feature_extractor)
    model.save_pretrained(folder)
    if isinstance(model, EncoderWithHeads):  # has written its extractor
        pieces, card = pieces or model.acoustic_pieces, card or model.card_info
    elif not has_extractor:
        default_feature_extractor(model.config).save_pretrained(folder)
    save_companions(folder, model.config, pieces, card)


def push_to_hub(
    model: PreTrainedModel | str | os.PathLike,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    pieces: AcousticPieces | None = None,
    card: ModelCardInfo | None = None,
    commit_message: str = "Upload model",
) -> str:
    """Upload a model, or its finished folder, in one commit; return the commit's address.

    Args:
        model: a model, or the folder that one was saved in.
        repo_id: `owner/name`, or a name for the owner of the token; made where it does not exist.
        private: of a new repository; None for the owner's default.
        token: with write access; None for that of `hf auth login`.
        pieces: see `save_for_hub`; written into the folder where one is given.
        card: likewise.
        commit_message: title of the commit.

    Raises:
        ValueError: the folder is not complete, or the Hub refuses the name or the card.
        UploadError: the Hub cannot be reached, or refuses.
    """
    options = {"private": private, "token": token, "commit_message": commit_message}
    if isinstance(model, PreTrainedModel):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / repo_id.split("/")[-1]  # the card's title is that of its folder
            save_for_hub(model, folder, pieces, card)
            return upload(folder, repo_id, **options)
    if pieces is not None or card is not None:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        save_companions(model, config, pieces, card)
    check_folder(model)
    return upload(model, repo_id, **options)


def card_license(folder: str | Path) -> str | None:
    """Return the licence that the card of a folder names."""
    return ModelCard.load(Path(folder) / CARD).data.get("license")


def set_license(folder: str | Path, license: str) -> None:
    """Name the licence of the weights in the card of a folder that was saved here.

    Args:
        folder: of the saved model.
        license: identifier on the Hub, such as "apache-2.0".

    Raises:
        ValueError: the card names another, or a person edited it, who has to name it there.
    """
    text = (Path(folder) / CARD).read_text(encoding="utf-8")
    found = card_license(folder)
    if found == license:
        return
    if found is not None or not is_untouched(text):
        raise ValueError(
            f"{CARD} in {folder} {'was edited by hand' if found is None else f'names {found!r}'}; "
            f"write `license: {license}` into its metadata."
        )
    place_card(folder, with_metadata(text, {"license": license}))


def set_results(folder: str | Path, results: str) -> None:
    """Write what was measured into the card of a folder that was saved here.

    Args:
        folder: of the saved model.
        results: Markdown, see `results_for_card`.

    Raises:
        ValueError: a person edited the card, who has to add them there, or it has no results.
    """
    text = (Path(folder) / CARD).read_text(encoding="utf-8")
    if not is_untouched(text):
        raise ValueError(
            f"{CARD} in {folder} was edited by hand; write into its section Results:\n\n{results}"
        )
    before, title, rest = unsigned(text).partition(RESULTS)
    said, limits, after = rest.partition(LIMITS)
    if not (title and limits):
        raise ValueError(f"{CARD} in {folder} has no sections Results and Limits; save it again.")
    kept = _MEASURED.sub("", said).replace(f"Evaluations: {NOT_RECORDED}.", "").strip()
    measured = f"{OPEN}\n{results}\n{CLOSE}"
    said = "\n\n".join(filter(None, [measured, kept]))
    place_card(folder, sign(f"{before}{title}\n{said}\n{limits}{after}"))
