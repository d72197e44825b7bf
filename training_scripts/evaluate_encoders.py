"""The same as `hf-rspin evaluate`."""

from hf_rspin.commands.evaluate import main

if __name__ == "__main__":
    main()
