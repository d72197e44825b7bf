"""Upload a saved model to the Hub in one commit, so that nobody sees a half of it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hf_rspin.publishing.card_file import (
    CARD,
    addressed,
    is_empty,
    is_untouched,
    with_metadata,
)
from hf_rspin.publishing.code import MARK

logger = logging.getLogger(__name__)

# What a saved model consists of, by name; whatever else lies in a folder (notes, tokens,
# pickles) stays there.
NAMES = frozenset((
    CARD, "config.json", "generation_config.json", "preprocessor_config.json",
    "processor_config.json", "acoustic_pieces.json", "unit_tokenizer.json", "adapter_config.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "results.json", "history.json",
))  # fmt: skip
WEIGHTS = re.compile(r"(adapter_)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
# folders of a unit tokenizer, and what is in them
FOLDERS = {
    "acoustic_pieces": {"acoustic_pieces.json"},
    "kmeans": {"kmeans.json", "kmeans.safetensors"},
}
# The class of the HTTP library's errors; the library itself changes between versions of the Hub's.
NETWORK_ERROR = HfHubHTTPError.__bases__[0]


class UploadError(OSError):
    """The Hub could not be reached, or refused; the message says what to do."""


def upload(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: bool | str | None = None,
    commit_message: str = "Upload model",
    commit_description: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Create the repository where there is none, commit the files, return the commit's address.

    `HfApi.upload_folder` may commit in several steps, the card before the weights; here a broken
    upload commits nothing. Only files of the model are taken, neither checkpoints nor pickles: see
    `files_to_upload`. A card on the Hub that a person wrote or edited is not replaced by a
    generated one.

    Args:
        folder: of the saved model.
        repo_id: `owner/name`, or a name for the owner of the token.
        private: of a new repository; None for the owner's default. True refuses a public one.
        token: with write access; None for that of `hf auth login`.
        commit_message: title of the commit.
        commit_description: its text.
        revision: branch; None for main.
        create_pr: open a pull request.

    Raises:
        UploadError: the Hub cannot be reached or refuses, or the repository should be private and
            is public.
        ValueError: `repo_id` cannot be a repository's, or the Hub refuses the card's metadata.
    """
    api = HfApi(token=token)
    with _explained(repo_id):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if private and not api.model_info(repo_id).private:
            raise UploadError(
                f"{repo_id} exists and is public; expected a private repository: make it private "
                "in its settings on the Hub, or choose another name."
            )
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            _operations(api, Path(folder), repo_id, revision),
            commit_message=commit_message,
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
    return commit.commit_url


def files_to_upload(folder: str | Path) -> list[str]:
    """Return the names of the files of a saved model, the card among them, relative to `folder`.

    Only what is written by this package or `transformers` is taken: see `NAMES` and `WEIGHTS`, and
    code that `save_pretrained` copied.

    Raises:
        ValueError: one of them is a link to a file outside of the folder.
    """
    folder = Path(folder)
    found = [path for path in folder.iterdir() if path.is_file() and _belongs(path)]
    for name, files in FOLDERS.items():
        found += [folder / name / file for file in files if (folder / name / file).is_file()]
    for path in found:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{path} is a link to {path.resolve()}, outside of the folder, and is not "
                "uploaded; expected a file: copy what it points to."
            )
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _belongs(path: Path) -> bool:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    return path.name in NAMES or WEIGHTS.fullmatch(path.name) is not None


def _operations(
    api: HfApi, folder: Path, repo_id: str, revision: str | None
) -> list[CommitOperationAdd]:
    names = [name for name in files_to_upload(folder) if name != CARD]
    operations = [CommitOperationAdd(name, folder / name) for name in names]
    if (folder / CARD).is_file():
        text = addressed((folder / CARD).read_text(encoding="utf-8"), repo_id)
        card = _reconciled(text, _card_on_hub(api, repo_id, revision), repo_id)
        if card is not None:
            operations.append(CommitOperationAdd(CARD, card.encode()))
    return operations


def _card_on_hub(api: HfApi, repo_id: str, revision: str | None) -> str | None:
    try:
        path = api.hf_hub_download(repo_id, CARD, revision=revision)
    except EntryNotFoundError:
        return None
    return Path(path).read_text(encoding="utf-8")


def _reconciled(text: str, on_hub: str | None, repo_id: str) -> str | None:
    """Return the card to upload; None where the one on the Hub is a person's and ours is not."""
    if on_hub is None or is_untouched(on_hub) or not is_untouched(text):
        return text
    if is_empty(on_hub):  # made with the repository, to say its licence
        metadata = ModelCard(on_hub, ignore_metadata_errors=True).data.to_dict()
        return with_metadata(text, metadata)
    logger.warning("The model card of %s was written by hand and stays as it is.", repo_id)
    return None


@contextlib.contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn what the Hub's library raises into one sentence that says what to do."""
    try:
        yield
    except (OfflineModeIsEnabled, HfHubHTTPError, NETWORK_ERROR, RuntimeError) as error:
        raise UploadError(_explain(error, repo_id)) from error


def _explain(error: Exception, repo_id: str) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo_id} cannot be uploaded in offline mode: unset HF_HUB_OFFLINE."
    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else None
    if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
        return (
            f"the Hub refused access to {repo_id} (HTTP status {status}); expected a token that "
            "may write there: run `hf auth login`, or pass token."
        )
    if status is not None and status < 500:
        return f"the Hub refused the upload to {repo_id}: {' '.join(str(error).split())}"
    return (
        f"the upload to {repo_id} broke off ({_first_cause(error)}); what is on the Hub did not "
        "change, as all files come in one commit: run the same again."
    )


def _first_cause(error: BaseException) -> str:
    while True:
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            return f"HTTP status {error.response.status_code}"
        if error.__cause__ is None:
            return " ".join(str(error).split()) or type(error).__name__
        error = error.__cause__
