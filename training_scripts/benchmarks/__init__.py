"""What the benchmarks and the check of a GPU share."""
