"""Measurements of representations and units, and their tables, plots and report."""
