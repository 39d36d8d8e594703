"""The rules that a snapshot must pass before it is published."""
