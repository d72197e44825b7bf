"""Old name of `run`."""

from hf_rspin.training.run import leave_process_group, save_merged, train_and_save  # noqa: F401
