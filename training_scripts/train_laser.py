"""The same as `hf-rspin train --objective laser`."""

from functools import partial

from hf_rspin.commands.train import main as train

main = partial(train, objective="laser")

if __name__ == "__main__":
    main()
