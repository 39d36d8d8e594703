"""One module for each layer: its schema and pure DataFrame -> DataFrame functions."""
