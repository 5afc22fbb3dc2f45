"""Scorers by name, one file each: built from a setting and their card's options, like methods."""
