"""What the checks are lenient about; a run may be given other limits than the settings'."""

import dagster as dg
from pydantic import Field


class Limits(dg.ConfigurableResource[None]):
    """Limits of the checks."""

    rows_lost_percent: float = Field(
        default=10.0,
        ge=0,
        le=100,
        description="How many per cent of the previous snapshot's rows a new one may lack.",
    )
