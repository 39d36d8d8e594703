"""The rules of all layers."""

from collections.abc import Mapping

from brewery_assets.checks import bronze, changes, gold, silver, suspects
from brewery_assets.checks.rule import Rule
from brewery_assets.layers.bronze import BRONZE
from brewery_assets.layers.changes import CHANGES
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.layers.suspects.table import SUSPECTS

RULES: dict[str, Mapping[str, Rule]] = {
    BRONZE: bronze.RULES,
    SILVER.name: silver.RULES,
    SUSPECTS.name: suspects.RULES,
    GOLD.name: gold.RULES,
    CHANGES.name: changes.RULES,
}
