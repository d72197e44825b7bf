"""The former place of `hf_rspin.data.samplers`."""

from hf_rspin.data.samplers import DurationBatchSampler as DurationBatchSampler
