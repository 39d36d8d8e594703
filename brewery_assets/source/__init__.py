"""The client of the Open Brewery DB API."""
