"""The same as `hf-rspin finetune-ctc`."""

from functools import partial

from hf_rspin.commands.train import main as train

main = partial(train, objective="ctc")

if __name__ == "__main__":
    main()
