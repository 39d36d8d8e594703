"""What an engine's error says, without the technical wrapping of its connection."""

import re

from pyspark.errors import PySparkException

# How Sail says that its memory pool is full.
_NO_MEMORY = re.compile(
    r"^.*failed to allocate .* total memory pool.*$", re.IGNORECASE | re.MULTILINE
)
_DETAILS = re.compile(r'^\s*details = "(.*)"$', re.MULTILINE)  # as gRPC prints its errors


def message_of(error: PySparkException) -> str:
    """The engine's message.

    For a failed connection, the cause that gRPC names; for a full memory pool, what to set.
    """
    said = str(error)
    if full := _NO_MEMORY.search(said):
        return (
            "the rows do not fit into the memory of the embedded engine. Set SPARK_REMOTE to "
            "Apache Spark, or SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE to more bytes "
            f"({full[0].strip()})"
        )
    details = _DETAILS.search(said)
    return details[1] if details else said
