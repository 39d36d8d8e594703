"""The differences between existing files and a manifest, or between two manifests."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from brewery_assets.lake.storage import StoredFile

SHOWN = 3


def changed_folders(now: Sequence[StoredFile], before: Sequence[StoredFile]) -> list[str]:
    """The folders whose files differ in content between two snapshots, sorted.

    A file without a checksum counts as changed.
    """
    one, other = _contents(now), _contents(before)
    return sorted(
        folder for folder in {*one, *other} if None in one[folder] or one[folder] != other[folder]
    )


def _contents(files: Sequence[StoredFile]) -> defaultdict[str, set[str | None]]:
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for file in files:
        found[file.path.rpartition("/")[0]].add(file.checksum)
    return found


def difference(
    expected: Sequence[StoredFile], found: Sequence[StoredFile], *, etags: bool = True
) -> str | None:
    """A description of the differences, or None if there are none.

    A checksum that is unknown or of another kind is not compared.

    Args:
        expected: the files of a manifest.
        found: the files that exist.
        etags: whether to compare S3's ETags; a copy of a lake may have different ones.
    """
    every = [*_differences(expected, found, etags)]
    more = [f"{len(every) - SHOWN:,} more"] if len(every) > SHOWN else []
    return "; ".join([*every[:SHOWN], *more]) or None


def _differences(
    expected: Sequence[StoredFile], found: Sequence[StoredFile], etags: bool
) -> Iterator[str]:
    there = {file.path: file for file in found}
    for file in expected:
        other = there.pop(file.path, None)
        if other is None:
            yield f"{file.path} is missing"
        elif other.bytes != file.bytes:
            yield f"{file.path} has {other.bytes:,} bytes instead of {file.bytes:,}"
        elif _contradict(file.checksum, other.checksum, etags):
            yield f"{file.path} has different content"
    for path in there:
        yield f"{path} is not in the manifest"


def _contradict(one: str | None, other: str | None, etags: bool) -> bool:
    if one is None or other is None or one == other:
        return False
    kind, _, _ = one.partition(":")
    return other.startswith(f"{kind}:") and (etags or kind != "etag")
