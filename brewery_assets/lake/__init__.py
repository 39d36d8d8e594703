"""Snapshots in a folder or on S3: how they are written, published, read and deleted."""
