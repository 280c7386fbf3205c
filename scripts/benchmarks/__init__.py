"""Benchmarks: what the product costs, beside a baseline measured in the same run."""
