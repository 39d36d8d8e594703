"""How much memory a run may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

IN_PYTHON = 1_700  # bytes per brewery while bronze or suspect_breweries hold them in Python
GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # lines "0::/path" (version 2) or "7:memory:/path" (1)


class TooLittleMemoryError(RuntimeError):
    """A step needs more memory than is allowed; the message says how much."""


def require_memory_in_python(breweries: int) -> None:
    """Raises TooLittleMemoryError if Python cannot hold so many breweries."""
    needed, allowed = breweries * IN_PYTHON, memory_allowed()
    if needed > allowed:
        raise TooLittleMemoryError(
            f"{breweries:,} breweries need about {needed // 10**6:,} MB of memory, but only "
            f"{allowed // 10**6:,} MB are allowed here: give this machine or its container more. "
            "This step runs in Python, so SPARK_REMOTE does not help"
        )


def memory_allowed(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The machine's memory in bytes, or less if a container or a service limits it (cgroups(7))."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(groups, membership)])


def _limits(groups: Path, membership: Path) -> Iterator[int]:
    """The limits of the process's own control group and of its parent groups."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = Path(path.lstrip("/"))  # a container may see its own group as the top
        for group in (own, *own.parents):
            with suppress(OSError, ValueError):  # no such group here, or "max"
                yield int((top / group / name).read_text())
