"""Releases of benchmarks: downloading, checking and exporting them."""
