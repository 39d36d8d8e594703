"""Benchmarks of the pipeline against alternatives."""
