"""The benchmark: the plain loop and other methods side by side, equality before speed."""
