"""The same as `hf-rspin search-subnet`."""

from hf_rspin.commands.search_subnet import main

if __name__ == "__main__":
    main()
