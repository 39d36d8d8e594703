"""The audits of all layers: which rules each has, and what looks at it."""

from brewery_assets import checks_bronze, checks_changes, checks_gold, checks_silver
from brewery_assets.audit import audit_of
from brewery_assets.changes import CHANGES
from brewery_assets.gold import GOLD
from brewery_assets.silver import REJECTED, SILVER

AUDITS = [
    audit_of("bronze_breweries", checks_bronze.RULES, checks_bronze.look),
    audit_of(
        SILVER.name,
        checks_silver.RULES,
        checks_silver.look,
        reads="parquet_snapshots",
        published_with_it=[REJECTED.name],
    ),
    audit_of(GOLD.name, checks_gold.RULES, checks_gold.look, reads="parquet_snapshots"),
    audit_of(CHANGES.name, checks_changes.RULES, checks_changes.look, reads="parquet_snapshots"),
]
