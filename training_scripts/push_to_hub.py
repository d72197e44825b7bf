"""The same as `hf-rspin push`."""

from hf_rspin.commands.push import main

if __name__ == "__main__":
    main()
