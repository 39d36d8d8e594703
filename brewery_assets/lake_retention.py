"""Which snapshots stay, and which are deleted after a publication."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from brewery_assets.lake_manifest import Manifest, time_of

DRAFTS_KEPT = timedelta(days=1)
ALL_KEPT = timedelta(hours=1)  # longer than a run: what it wrote stays as long as it may read it


class Snapshots(Protocol):
    """What is asked of a lake here."""

    def layers(self) -> list[str]: ...
    def snapshots(self, layer: str) -> list[str]: ...
    def published(self, layer: str) -> Iterator[str]: ...
    def manifest(self, layer: str, snapshot: str) -> Manifest: ...


def no_longer_kept(lake: Snapshots, layer: str, keep: int, now: datetime) -> list[str]:
    """The snapshots of a layer that can go.

    The `keep` newest published ones stay, and any that a kept snapshot of another layer was made
    from; none goes in its first hour, and no draft in its first day.
    """
    published = list(lake.published(layer))
    old = set(published[keep:])
    if old:
        old -= {
            lake.manifest(other, snapshot).made_from.get(layer)
            for other in lake.layers()
            if other != layer
            for snapshot in list(lake.published(other))[:keep]
        }
    old = {snapshot for snapshot in old if time_of(snapshot) < now - ALL_KEPT}
    drafts = set(lake.snapshots(layer)) - set(published)
    return sorted(old | {draft for draft in drafts if time_of(draft) < now - DRAFTS_KEPT})
