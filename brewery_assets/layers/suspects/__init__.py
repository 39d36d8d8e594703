"""suspect_breweries: records that are probably wrong, and why."""
