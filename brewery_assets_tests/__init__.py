"""Tests of brewery_assets with real parts: an API on loopback, an engine and a lake."""
