"""Elastic encoders: one HuBERT holds many smaller ones, in the front of its weights (LightHuBERT).

`set_subnet` runs an encoder as one of them, `extract_subnet` makes a plain encoder of it,
`hf-rspin train --objective elastic` trains them together, and `hf-rspin search-subnet` finds the
best that a budget allows.
"""

from hf_rspin.lazy import import_later

_MODULE_OF = {
    "draw_subnet": "space",
    "ElasticDistillation": "objective",
    "ElasticOutput": "objective",
    "Evolution": "search",
    "evolve": "search",
    "extract_subnet": "extract",
    "load_supernet": "extract",
    "running_as": "supernet",
    "save_subnet": "extract",
    "set_subnet": "supernet",
    "SPACES": "space",
    "Subnet": "subnet",
    "subnet_flops": "cost",
    "subnet_parameters": "cost",
    "SubnetSpace": "space",
}

__all__ = sorted(_MODULE_OF)
__getattr__ = import_later(__name__, _MODULE_OF)
