"""Releases of benchmarks: getting, checking and filing them away."""
