"""The same as `hf-rspin train --objective masked_prediction`."""

from functools import partial

from hf_rspin.commands.train import main as train

main = partial(train, objective="masked_prediction")

if __name__ == "__main__":
    main()
