"""Dialogue state tracking: scorers, each by its name, and how states are read from files and reported."""
