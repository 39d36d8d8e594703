"""Snapshots on a folder or on S3: written, published, read and swept."""
