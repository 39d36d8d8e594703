"""What an engine's error says, without the technical wrapping of its connection."""

import re

from pyspark.errors import PySparkException

_DETAILS = re.compile(r'^\s*details = "(.*)"$', re.MULTILINE)  # as gRPC prints its errors


def message_of(error: PySparkException) -> str:
    """The engine's message. For a failed connection, the cause that gRPC names."""
    said = str(error)
    details = _DETAILS.search(said)
    return details[1] if details else said
