"""The PySpark resource and the engines behind it."""
