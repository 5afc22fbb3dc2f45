"""Exactness on real checkpoints: where two texts part, and whether rounding explains it."""
