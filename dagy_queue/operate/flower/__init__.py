"""Flower with our runs in it: how it starts, what it refuses, how it shows a run, and what its buttons mean."""
