"""A local copy of the Open Brewery DB API over the real data, with faults on request."""
