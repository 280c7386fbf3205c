"""Chaos: many runs, everything killed at random, and a verdict on what became of each. See ``scripts/chaos``."""
