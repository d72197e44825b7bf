"""The same as `hf-rspin train --objective rspin`."""

from functools import partial

from hf_rspin.commands.train import main as train

main = partial(train, objective="rspin")

if __name__ == "__main__":
    main()
