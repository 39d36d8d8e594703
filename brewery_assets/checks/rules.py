"""The audits of all layers: which rules each has, and what looks at it."""

from collections.abc import Mapping

from brewery_assets.checks import bronze as checks_bronze
from brewery_assets.checks import changes as checks_changes
from brewery_assets.checks import gold as checks_gold
from brewery_assets.checks import silver as checks_silver
from brewery_assets.checks import suspects as checks_suspects
from brewery_assets.checks.audit import Rule, audit_of
from brewery_assets.layers.changes import CHANGES
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import REJECTED, SILVER
from brewery_assets.layers.suspects.table import SUSPECTS

AUDITED = {
    "bronze_breweries": checks_bronze,
    SILVER.name: checks_silver,
    SUSPECTS.name: checks_suspects,
    GOLD.name: checks_gold,
    CHANGES.name: checks_changes,
}
RULES: dict[str, Mapping[str, Rule]] = {name: checks.RULES for name, checks in AUDITED.items()}
AUDITS = [
    audit_of(
        name,
        checks.RULES,
        checks.look,
        reads=None if checks is checks_bronze else "parquet_snapshots",
        # One step writes both, and its audit is about both.
        published_with_it=[REJECTED.name] if name == SILVER.name else [],
    )
    for name, checks in AUDITED.items()
]
