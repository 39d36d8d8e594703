"""Which snapshots stay, and which are deleted after a publication."""

from datetime import datetime, timedelta
from typing import Protocol

from brewery_assets.lake_manifest import Manifest, time_of

DRAFTS_KEPT = timedelta(days=1)
ALL_KEPT = timedelta(hours=1)  # longer than a run: what it wrote stays as long as it may read it


class Snapshots(Protocol):
    """What is asked of a lake here."""

    def layers(self) -> list[str]: ...
    def survey(self, layer: str) -> dict[str, Manifest | None]: ...
    def manifests(self, layer: str) -> list[Manifest]: ...


def no_longer_kept(lake: Snapshots, layer: str, keep: int, now: datetime) -> list[str]:
    """The snapshots of a layer that can go.

    The `keep` newest published ones stay, and any that a kept snapshot of another layer was made
    from; none goes in its first hour, and no draft in its first day.
    """
    snapshots = lake.survey(layer)
    published = [name for name, manifest in snapshots.items() if manifest]
    old = {name for name in published[keep:] if time_of(name) < now - ALL_KEPT}
    if old:
        old -= {
            manifest.made_from.get(layer)
            for other in lake.layers()
            if other != layer
            for manifest in lake.manifests(other)[:keep]
        }
    drafts = {name for name, manifest in snapshots.items() if not manifest}
    return sorted(old | {draft for draft in drafts if time_of(draft) < now - DRAFTS_KEPT})
