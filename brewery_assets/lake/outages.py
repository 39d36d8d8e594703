"""Outages of S3: an engine's work is repeated when S3 is available again."""

import itertools
import re
from collections.abc import Callable

import dagster as dg
from pyspark.errors import PySparkException
from tenacity import (
    RetryCallState,
    Retrying,
    stop_after_delay,
    wait_exponential,
)

from brewery_assets.lake.storage import Result

# Messages of Sail (object_store) and Hadoop's S3A after their own retries, which take two seconds
# and a minute. A refusal by S3, such as AccessDenied, does not match.
SAID_BY_ENGINES = re.compile(
    r"Connection refused \(os error"
    r"|Generic S3 error: .*(after \d+ retries|HTTP error)"
    r"|Unable to execute HTTP request|AWSStatus500Exception|AWSServiceThrottledException",
    re.DOTALL,
)


class WrongRowsError(RuntimeError):
    """The files that a write left behind do not have the rows that were written."""


def through_outages(
    work: Callable[[], Result], clear: Callable[[], None], patience: float
) -> Result:
    """Runs the work and returns its result; repeats it if the engine could not reach S3.

    It is also repeated if a file of a failed try arrived during the next one (WrongRowsError).

    Args:
        work: a complete read or write.
        clear: deletes what the work has written, before it is repeated.
        patience: seconds after which it is not repeated.
    """
    tries = itertools.count()

    def once() -> Result:
        if next(tries):
            clear()
        return work()

    again = Retrying(
        retry=_may_succeed_later,
        wait=wait_exponential(max=12),
        stop=stop_after_delay(patience),
        before_sleep=warn,
        reraise=True,
    )
    return again(once)


def _may_succeed_later(state: RetryCallState) -> bool:
    error = state.outcome and state.outcome.exception()
    if isinstance(error, WrongRowsError):
        return state.attempt_number > 1
    return isinstance(error, PySparkException) and bool(SAID_BY_ENGINES.search(str(error)))


def warn(state: RetryCallState) -> None:
    """Logs why and when a request is retried."""
    error = state.outcome and state.outcome.exception()
    seconds = state.next_action.sleep if state.next_action else 0
    said = " ".join(str(error).split())[:300]
    late = isinstance(error, WrongRowsError)
    dg.get_dagster_logger().warning(
        f"{'A file of the failed try arrived late' if late else 'S3 is unavailable'}, "
        f"the next try is in {seconds:.1f} s: {said}"
    )
