"""Probes that are trained on frozen features: layer sum, heads, training, and their folders."""
