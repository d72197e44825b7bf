"""The same as `hf-rspin convert`."""

from hf_rspin.commands.convert import main

if __name__ == "__main__":
    main()
