"""Benchmarks: each is run as `python -m benchmarks.NAME`; benchmarks/README.md lists them."""
