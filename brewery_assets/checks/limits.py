"""The limits of the checks. They come from the settings; a run's config can override them."""

import dagster as dg
from pydantic import Field

from brewery_assets.checks.rules import RULES
from brewery_assets.settings import SettingsError

ACCEPTABLE = sorted(
    {name for rules in RULES.values() for name, rule in rules.items() if rule.acceptable}
)


class Limits(dg.ConfigurableResource[None]):
    """Limits of the checks."""

    rows_lost_percent: float = Field(
        default=10.0,
        ge=0,
        le=100,
        description="The largest share of the previous snapshot's rows that may be lost, percent.",
    )
    rejected_percent: float = Field(
        default=5.0,
        ge=0,
        le=100,
        description="The largest share of bronze's lines that silver may reject, percent.",
    )
    filled_lost_percent: float = Field(
        default=10.0,
        ge=0,
        le=100,
        description="How many percentage points a column's share of filled values may fall.",
    )
    accept_checks: list[str] = Field(
        default=[],
        description="Blocking checks that may fail in this run without preventing publication.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Raises SettingsError for a check that cannot be accepted."""
        if other := sorted(set(self.accept_checks) - set(ACCEPTABLE)):
            raise SettingsError(
                f"ACCEPT_CHECKS={','.join(other)}: allowed are {', '.join(ACCEPTABLE)}"
            )
