"""The data of the report: gold, the breweries' coordinates, the changes and the checks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from brewery_assets.checks.changes import KINDS
from brewery_assets.checks.rules import RULES
from brewery_assets.lake.lake import Lake
from brewery_assets.lake.manifest import Manifest, time_of
from brewery_assets.layers.changes import CHANGES
from brewery_assets.layers.gold import GOLD, KEY
from brewery_assets.layers.silver import SILVER
from brewery_assets.presentation import visible
from brewery_assets.report.happened import Happened, happened_of

GRID = 2  # decimals of a degree: one kilometer, less than the width of a point on the map


class Check(NamedTuple):
    """A check of a snapshot that the page is made from, and its outcome."""

    layer: str
    name: str
    description: str
    blocking: bool
    passed: bool
    numbers: dict[str, Any]


class Moment(NamedTuple):
    """A kept snapshot of gold.

    Attributes:
        time: from the snapshot's name, UTC.
        breweries: how many it counts.
        changes: how many were added, removed and changed since the previous snapshot; None if
            unknown.
    """

    time: datetime
    breweries: int
    changes: dict[str, int | None]


class Facts(NamedTuple):
    """All that the page shows.

    Attributes:
        counts: gold's rows, with text that is safe to display.
        points: longitude, latitude, country slug, type and number of breweries, in a grid.
        history: the kept snapshots, oldest first.
        checks: of bronze, silver and gold.
        origins: the snapshots that the page is made from, gold first, bronze last.
        happened: since the previous snapshot; None if there was none to compare with.
    """

    counts: list[dict[str, Any]]
    points: list[dict[str, Any]]
    history: list[Moment]
    checks: list[Check]
    origins: list[Manifest]
    happened: Happened | None


def points(silver: DataFrame) -> DataFrame:
    """One row per country, type and point of a grid of 0.01 degrees: how many breweries.

    Breweries without coordinates or with impossible ones are left out.
    """
    placed = silver.where(F.abs("longitude") <= 180).where(F.abs("latitude") <= 90)
    return placed.groupBy(
        "country",
        F.coalesce("brewery_type", F.lit("unknown")).alias("type"),
        F.round("longitude", GRID).alias("longitude"),
        F.round("latitude", GRID).alias("latitude"),
    ).agg(F.count(F.lit(1)).alias("breweries"))


def facts_of(
    lake: Lake,
    gold: DataFrame,
    silver: DataFrame,
    read: Callable[[Manifest], DataFrame],
) -> Facts:
    """What the page shows.

    Args:
        lake: the lake.
        gold: the rows that this run reads.
        silver: the rows that gold counts.
        read: returns the rows of a snapshot.
    """
    origins = [*_origins(lake, lake.reading(GOLD.name))]
    counts = [_visible(row) for row in gold.orderBy(*KEY).collect()]
    places = {
        (row["country"], row["state"]): (row["state_name"], row["country_name"]) for row in counts
    }
    happened = None
    if found := _changes(lake, origins[0].made_from[SILVER.name]):
        since = time_of(found.compared_with[SILVER.name])
        happened = happened_of(since, read(lake.verified(found)), silver, places)
    return Facts(
        counts=counts,
        points=[_visible(row) for row in points(silver).orderBy("longitude", "latitude").collect()],
        happened=happened,
        history=history(lake.manifests(GOLD.name), lake.manifests(CHANGES.name), origins[0]),
        checks=[*checks(reversed(origins))],
        origins=origins,
    )


def _visible(row: Row) -> dict[str, Any]:
    return {
        name: visible(value) if isinstance(value, str) else value
        for name, value in row.asDict().items()
    }


def _changes(lake: Lake, silver: str) -> Manifest | None:
    """The changes that lead to a snapshot of silver, if it was compared with an older one."""
    return next(
        (
            found
            for found in lake.undamaged(CHANGES.name)
            if found.made_from.get(SILVER.name) == silver and SILVER.name in found.compared_with
        ),
        None,
    )


def _origins(lake: Lake, manifest: Manifest) -> Iterator[Manifest]:
    """A snapshot and, recursively, the kept snapshots that it was made from."""
    yield manifest
    for layer, snapshot in manifest.made_from.items():
        for older in lake.manifests(layer):
            if older.snapshot == snapshot:
                yield from _origins(lake, older)


def history(
    golds: Sequence[Manifest], changes: Sequence[Manifest], shown: Manifest
) -> list[Moment]:
    """The number of breweries and the changes, up to the gold that is shown."""
    found = {one.made_from[SILVER.name]: _numbers(one, "changes_add_up") for one in changes}
    moments = []
    for gold in reversed(golds):
        breweries = _numbers(gold, "counts_add_up").get("gold")
        if gold.snapshot <= shown.snapshot and breweries is not None:
            changed = found.get(gold.made_from[SILVER.name], {})
            kinds = {kind: changed.get(kind) for kind in KINDS}
            moments.append(Moment(time_of(gold.snapshot), breweries, kinds))
    return moments


def _numbers(manifest: Manifest, check: str) -> Mapping[str, Any]:
    return next((found for found in manifest.checks if found["name"] == check), {})


def checks(manifests: Iterator[Manifest]) -> Iterator[Check]:
    """The checks of published snapshots, as their manifests keep them."""
    for manifest in manifests:
        rules = RULES[manifest.layer]
        for found in manifest.checks:
            numbers = {name: of for name, of in found.items() if name not in ("name", "passed")}
            if rule := rules.get(found["name"]):  # an older version may have had other rules
                yield Check(
                    manifest.layer,
                    found["name"],
                    rule.description,
                    rule.blocking,
                    found["passed"],
                    numbers,
                )
