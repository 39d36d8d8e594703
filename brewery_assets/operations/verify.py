"""Verifies the snapshots, layers and Delta tables of a lake, without an engine."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from brewery_assets.assets import TABLES
from brewery_assets.lake.delta import follow, newest_version, pending
from brewery_assets.lake.lake import MANIFEST, Lake, LakeError
from brewery_assets.lake.manifest import Manifest
from brewery_assets.lake.rows import UnreadableError, rows_in, total_of
from brewery_assets.lake.tables import Table
from brewery_assets.layers.bronze import BRONZE
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import REJECTED, SILVER
from brewery_assets.operations.platform import LAYERS, layer_line

Key = tuple[str, str]  # layer and snapshot


class Snapshot(NamedTuple):
    """What was found about a snapshot.

    Attributes:
        manifest: None for a draft and for a manifest that cannot be read.
        rows: counted in the files; None if they are damaged or have no rows, like the report's.
        damage: what is wrong; None if nothing is wrong.
    """

    layer: str
    name: str
    manifest: Manifest | None = None
    rows: int | None = None
    damage: str | None = None


def snapshots_of(lake: Lake) -> Iterator[Snapshot]:
    """Every snapshot of every layer, in the order of the pipeline, the newest first."""
    every = lake.layers()
    known = [layer for layer in LAYERS if layer in every]
    for layer in (*known, *(name for name in every if name not in known)):
        for name in lake.snapshots(layer):
            manifest = f"{lake.folder_of(layer, name)}/{MANIFEST}"
            if not lake.storage.exists(manifest):
                yield Snapshot(layer, name)
                continue
            found = _published(lake, layer, name)
            # A concurrent run may have deleted the snapshot: it deletes the manifest first.
            if found.damage is None or lake.storage.exists(manifest):
                yield found


def _published(lake: Lake, layer: str, name: str) -> Snapshot:
    try:
        manifest = lake.manifest(layer, name)
    except (LakeError, ValueError) as error:
        return Snapshot(layer, name, damage=f"{MANIFEST} cannot be read: {_one_line(error)}")
    if damage := lake.damage(manifest):
        return Snapshot(layer, name, manifest, damage=damage)
    try:
        rows = rows_in(lake, manifest)
    except UnreadableError as error:
        return Snapshot(layer, name, manifest, damage=_one_line(error))
    if rows not in (None, manifest.rows):
        damage = f"the files have {_counted(rows or 0, 'row')} instead of {manifest.rows:,}"
        return Snapshot(layer, name, manifest, damage=damage)
    return Snapshot(layer, name, manifest, rows)


def disagreement(lake: Lake, found: Snapshot, every: Mapping[Key, Snapshot]) -> str | None:
    """How a snapshot contradicts the snapshots that it was made from; None if it does not.

    Snapshots that are deleted or damaged are not compared.
    """

    def rows_of(layer: str, name: str | None) -> int | None:
        other = every.get((layer, name or ""))
        return other and other.rows

    if found.manifest is None or found.rows is None:
        return None
    made_from = found.manifest.made_from
    if found.layer == SILVER.name:
        bronze = rows_of(BRONZE, made_from.get(BRONZE))
        rejected = rows_of(REJECTED.name, found.name)
        if None not in (bronze, rejected) and found.rows + (rejected or 0) != bronze:
            rows = f"{_counted(found.rows, 'row')} and {rejected:,} rejected"
            return f"{rows} do not add up to the {bronze:,} of {BRONZE} {made_from[BRONZE]}"
    if found.layer == GOLD.name:
        silver = rows_of(SILVER.name, made_from.get(SILVER.name))
        if (
            silver is not None
            and (total := total_of(lake, found.manifest, "brewery_count")) != silver
        ):
            return (
                f"the counts add up to {total:,}, and {SILVER.name} {made_from[SILVER.name]} has "
                f"{_counted(silver, 'row')}"
            )
    return None


def report(lake: Lake) -> tuple[str, bool]:
    """The findings for a terminal, and whether all snapshots are whole and agree."""
    every = {(found.layer, found.name): found for found in snapshots_of(lake)}
    lines, damaged, disagreeing = [], 0, 0
    for found in every.values():
        contradiction = disagreement(lake, found, every)
        damaged += found.damage is not None
        disagreeing += contradiction is not None
        lines.append(_line(found, contradiction))
    drafts = sum(not (found.manifest or found.damage) for found in every.values())
    return "\n".join(
        [
            f"The lake {lake.storage.uri('')}",
            "",
            *(lines or ["  has no snapshots"]),
            "",
            _sum(len(every) - drafts, drafts, damaged, disagreeing),
        ]
    ), not (damaged or disagreeing)


def delta_tables(lake: Lake) -> tuple[list[str], bool]:
    """A line for each Delta table that is behind or missing, and whether none is behind."""
    found = [_delta_table(lake, table) for table in TABLES]
    return [line for line, _ in found if line], all(well for _, well in found)


def _delta_table(lake: Lake, table: Table) -> tuple[str, bool]:
    try:
        version = newest_version(lake, table.name)
        lacking = pending(lake, table.name, version.snapshot if version else "")
    except LakeError as error:
        return f"{table.name}: {error}", False
    if lacking and version:
        shown = f"shows {version.snapshot} as version {version.number}"
        missing = f"{lacking[-1].snapshot} is published; `make verify REPAIR=1` adds it"
        return f"{table.name}: the Delta table {shown}, and {missing}", False
    if lacking:
        return f"{table.name}: no Delta table; `make verify REPAIR=1` creates it", True
    return "", True


def repair(lake: Lake) -> None:
    """Brings the Delta tables up to date.

    Raises:
        LakeError: see `follow`.
    """
    lake.storage.prepare()
    for table in TABLES:
        follow(lake, table)


def _line(found: Snapshot, contradiction: str | None) -> str:
    what = layer_line(found.manifest) if found.manifest else f"{found.layer:58}"
    return f"  {what} {found.name}  {_state(found, contradiction)}"


def _state(found: Snapshot, contradiction: str | None) -> str:
    if found.damage:
        return f"DAMAGED: {found.damage}"
    if contradiction:
        return f"CONTRADICTION: {contradiction}"
    if found.manifest is None:
        return "a draft, not published"
    if any(file.checksum is None for file in found.manifest.files):
        return "whole by size and row count: the manifest has no checksums"
    return "whole"


def _sum(published: int, drafts: int, damaged: int, disagreeing: int) -> str:
    count = _counted(published, "published snapshot")
    if drafts:
        count += f" and {_counted(drafts, 'draft')}"
    if not damaged and not disagreeing:
        return f"{count}: all published ones are whole, and the layers agree."
    return (
        f"{count}: {damaged:,} damaged, {disagreeing:,} in contradiction to another layer. "
        'docs/operations.md, "When the lake is damaged", says what to do.'
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
