"""Share a model: export, model card, upload; and read the checkpoints of others."""

from hf_rspin.hub.check import check_folder
from hf_rspin.hub.convert import Conversion, convert_checkpoint
from hf_rspin.hub.export import clean_config, export_plain, plain_encoder
from hf_rspin.hub.publish import push_to_hub, save_for_hub, set_license
from hf_rspin.publishing.card_file import write_card
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.publishing.upload import UploadError

__all__ = [
    "ModelCardInfo",
    "Conversion",
    "UploadError",
    "check_folder",
    "clean_config",
    "convert_checkpoint",
    "export_plain",
    "plain_encoder",
    "push_to_hub",
    "save_for_hub",
    "set_license",
    "write_card",
]
