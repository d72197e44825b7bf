"""The former place of `hf_rspin.data.samplers`."""

from hf_rspin.data.samplers import PairBatchSampler as PairBatchSampler
from hf_rspin.data.samplers import drawn_speeds as drawn_speeds
