"""Tests of brewery_assets, through real parts: an API on loopback, an engine, a lake."""
