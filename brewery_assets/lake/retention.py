"""Which snapshots are kept, and which are deleted."""

from datetime import datetime, timedelta
from typing import Protocol

from brewery_assets.lake.manifest import Manifest, time_of

DRAFTS_KEPT = timedelta(days=1)
# A reader that has just chosen a snapshot, or the run that wrote it, needs it for less time.
SUPERSEDED_KEPT = timedelta(hours=1)


class Snapshots(Protocol):
    """The part of a lake that this module uses."""

    def layers(self) -> list[str]: ...
    def snapshots(self, layer: str) -> list[str]: ...
    def survey(self, layer: str) -> dict[str, Manifest | None]: ...
    def manifests(self, layer: str) -> list[Manifest]: ...
    def last_change(self, layer: str, snapshot: str) -> datetime | None: ...


def no_longer_kept(lake: Snapshots, layer: str, keep: int, now: datetime) -> list[str]:
    """The published snapshots of a layer that can be deleted after a publication.

    The `keep` newest are kept, and any that a kept snapshot of another layer was made from. None
    is deleted in its first hour, or in the hour after a newer one was published. Names give only
    the order, not the age: they never go back, even if the clock was once ahead.
    """
    old = set()
    superseded = now
    for place, manifest in enumerate(lake.manifests(layer)):
        is_new = now - SUPERSEDED_KEPT < manifest.created_at <= now
        if place >= keep and superseded < now - SUPERSEDED_KEPT and not is_new:
            old.add(manifest.snapshot)
        superseded = min(superseded, manifest.created_at)
    if old:
        old -= {
            manifest.made_from.get(layer)
            for other in lake.layers()
            if other != layer
            for manifest in lake.manifests(other)[:keep]
        }
    return sorted(old)


def old_drafts(lake: Snapshots, layer: str, now: datetime) -> list[str]:
    """The drafts of a layer that are older than a day.

    If a draft's name is in the future, the time of its newest file counts. A draft is always older
    than the snapshots published under later names.
    """
    if all(now - DRAFTS_KEPT < time_of(name) <= now for name in lake.snapshots(layer)):
        return []
    old = []
    published_later = now
    for name, manifest in lake.survey(layer).items():
        if manifest:
            published_later = min(published_later, manifest.created_at)
            continue
        begun = time_of(name)
        if begun > now:
            begun = lake.last_change(layer, name) or begun
        if min(begun, published_later) < now - DRAFTS_KEPT:
            old.append(name)
    return old
