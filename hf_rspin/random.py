from hf_rspin.seeding import example_generator as example_generator  # noqa: D100
