"""A campaign that tries to break the pipeline: `make torture`; docs/torture.md has its results."""
