"""What the make targets do with a platform that is deployed or running."""
