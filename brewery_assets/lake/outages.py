"""An S3 that is away for a while: what an engine did meanwhile is done again."""

import itertools
import re
from collections.abc import Callable

import dagster as dg
from pyspark.errors import PySparkException
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from brewery_assets.lake.storage import Result

# What Sail (object_store) and Hadoop's S3A say once their own tries, of two seconds and a minute,
# are over. A refusal of S3, such as AccessDenied, is none of these.
SAID_BY_ENGINES = re.compile(
    r"Connection refused \(os error"
    r"|Generic S3 error: .*(after \d+ retries|HTTP error)"
    r"|Unable to execute HTTP request|AWSStatus500Exception|AWSServiceThrottledException",
    re.DOTALL,
)


def through_outages(
    work: Callable[[], Result], clear: Callable[[], None], patience: float
) -> Result:
    """What the work returns; it is done again after an error of an engine that reached no S3.

    Args:
        work: reads or writes as a whole.
        clear: deletes what the work has written, before it is done again.
        patience: seconds after which it is not done again.
    """
    tries = itertools.count()

    def once() -> Result:
        if next(tries):
            clear()
        return work()

    again = Retrying(
        retry=retry_if_exception(_is_outage),
        wait=wait_exponential(max=12),
        stop=stop_after_delay(patience),
        before_sleep=warn,
        reraise=True,
    )
    return again(once)


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, PySparkException) and bool(SAID_BY_ENGINES.search(str(error)))


def warn(state: RetryCallState) -> None:
    """Logs why something is tried again, and when."""
    error = state.outcome and state.outcome.exception()
    seconds = state.next_action.sleep if state.next_action else 0
    said = " ".join(str(error).split())[:300]
    dg.get_dagster_logger().warning(f"S3 is away, the next try is in {seconds:.1f} s: {said}")
