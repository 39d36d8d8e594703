"""What is checked of every layer: that its columns are those of the last time."""

from brewery_assets.checks.audit import Outcome, Rule
from brewery_assets.lake.manifest import Manifest

COLUMNS_AS_BEFORE = Rule(
    "The columns and their types are those of the previous snapshot.", blocking=False
)
UNTYPED = "null"  # a field of bronze that is null in every record has no type to be compared


def columns_as_before(now: Manifest, before: Manifest | None) -> Outcome:
    """Whether no column is new, missing or of another type than in the snapshot before.

    Dagster's own column-schema-change check would compare with the last that was written, also
    when that was refused; this one compares with the last that was published.
    """
    if before is None or not (before.columns and now.columns):
        return Outcome(True, {"columns": len(now.columns), "compared_with": "nothing"})
    types = {
        name: (before.columns[name], now.columns[name])
        for name in now.columns
        if name in before.columns
    }
    numbers = {
        "columns": len(now.columns),
        "compared_with": before.snapshot,
        "new": {name: now.columns[name] for name in now.columns if name not in types},
        "missing": {name: before.columns[name] for name in before.columns if name not in types},
        "of_another_type": {
            name: {"before": old, "now": new}
            for name, (old, new) in sorted(types.items())
            if old != new and UNTYPED not in (old, new)
        },
    }
    changed = numbers["new"] or numbers["missing"] or numbers["of_another_type"]
    return Outcome(not changed, numbers)
