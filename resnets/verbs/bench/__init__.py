"""Benchmarks on this machine, beside the libraries that people use today."""
