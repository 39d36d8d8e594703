"""The Open Brewery DB as a medallion lake: bronze, silver and gold, each a Dagster asset."""
