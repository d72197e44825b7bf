"""Publishing: what is written beside a model's weights, and the upload to the Hub."""

from hf_rspin.publishing.card_file import write_card
from hf_rspin.publishing.code import code_reference, save_code
from hf_rspin.publishing.companions import has_own_extractor, push_model, save_companions
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.publishing.upload import UploadError, upload

__all__ = [
    "ModelCardInfo",
    "UploadError",
    "code_reference",
    "has_own_extractor",
    "push_model",
    "save_code",
    "save_companions",
    "upload",
    "write_card",
]
