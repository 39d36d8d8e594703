"""What is checked of every layer: that its columns are those of the last time."""

from collections.abc import Mapping

from brewery_assets.checks.rule import Outcome, Rule
from brewery_assets.lake.manifest import Manifest

COLUMNS_AS_BEFORE = Rule(
    "The columns and their types are those of the previous snapshot.", blocking=False
)
UNTYPED = "null"  # a field of bronze that is null in every record has no type to be compared


def columns_as_before(now: Mapping[str, str], before: Manifest | None) -> Outcome:
    """Whether no column is new, missing or of another type than in the snapshot before.

    Args:
        now: types by name.
        before: the previous snapshot; None for the first.
    """
    if before is None or not (before.columns and now):
        return Outcome(True, {"columns": len(now), "compared_with": "nothing"})
    types = {name: (before.columns[name], now[name]) for name in now if name in before.columns}
    numbers = {
        "columns": len(now),
        "compared_with": before.snapshot,
        "new": {name: now[name] for name in now if name not in types},
        "missing": {name: before.columns[name] for name in before.columns if name not in types},
        "of_another_type": {
            name: {"before": old, "now": new}
            for name, (old, new) in sorted(types.items())
            if old != new and UNTYPED not in (old, new)
        },
    }
    changed = numbers["new"] or numbers["missing"] or numbers["of_another_type"]
    return Outcome(not changed, numbers)
