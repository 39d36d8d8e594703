"""What is fast and what is not, measured against what a user would pick instead."""
