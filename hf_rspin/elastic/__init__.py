"""Elastic encoders: one HuBERT holds many smaller ones, in the front of its weights (LightHuBERT).

`set_subnet` runs an encoder as one of them, `extract_subnet` makes a plain encoder of it,
`train.py --objective elastic` trains them together, and `search_subnet.py` finds the best that a
budget allows.
"""

from hf_rspin.elastic.cost import subnet_flops, subnet_parameters
from hf_rspin.elastic.extract import extract_subnet, load_supernet, save_subnet
from hf_rspin.elastic.objective import ElasticDistillation, ElasticOutput
from hf_rspin.elastic.search import Evolution, evolve
from hf_rspin.elastic.space import SPACES, SubnetSpace, draw_subnet
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.elastic.supernet import running_as, set_subnet

__all__ = [
    "SPACES",
    "ElasticDistillation",
    "ElasticOutput",
    "Evolution",
    "Subnet",
    "SubnetSpace",
    "draw_subnet",
    "evolve",
    "extract_subnet",
    "load_supernet",
    "running_as",
    "save_subnet",
    "set_subnet",
    "subnet_flops",
    "subnet_parameters",
]
