"""Share a model: export, model card, upload; and read the checkpoints of others."""

from hf_rspin.lazy import import_later

_MODULE_OF = {
    "check_folder": "check",
    "clean_config": "export",
    "Conversion": "convert",
    "convert_checkpoint": "convert",
    "export_plain": "export",
    "ModelCardInfo": ".publishing.model_card",
    "plain_encoder": "export",
    "push_to_hub": "publish",
    "save_for_hub": "publish",
    "set_license": "publish",
    "set_results": "publish",
    "UploadError": ".publishing.upload",
    "write_card": ".publishing.card_file",
}

__all__ = sorted(_MODULE_OF)
__getattr__ = import_later(__name__, _MODULE_OF)
