"""Grids of runs and evaluations that repeat the papers' tables."""
