"""GET requests with retries: the decoded body, or an error with the URL and the cause."""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlencode

import requests
import tenacity
import urllib3
from requests.auth import HTTPBasicAuth

from brewery_assets.redaction import Address, Redacting

T = TypeVar("T")

RETRIED_STATUSES = frozenset({408, 429, *range(500, 600)})
RETRIED_ERRORS = (
    requests.ConnectionError,  # also for TLS that ends early
    requests.Timeout,
    urllib3.exceptions.HTTPError,  # from reading a body: cut off, undecodable, timed out
)
LARGEST_ANSWER = 20_000_000  # bytes, uncompressed; 200 records are about 100,000
LONGEST_BACKOFF = 30.0
_CONNECTION = re.compile(r"^HTTPS?Connection(?:Pool)?\(.*?\): ")  # how urllib3 begins its messages
PATROL = 0.1  # seconds between two checks whether the read was canceled
HEADERS = {
    "Accept": "application/json",  # without it, errors are redirects or HTML pages
    "User-Agent": "brewery_assets/0.1 (a Dagster pipeline; python-requests)",
}
for name in ("urllib3.connection", "urllib3.connectionpool"):  # their warnings have full URLs
    logging.getLogger(name).addFilter(Redacting())


class SourceError(Exception):
    """The source could not be read; the message has the URL and the cause."""


class RefusedError(SourceError):
    """The source answered with a status that a retry will not change."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _PassingError(Exception):
    """A temporary error: a retry may help, after `wait` seconds if the source gave a time."""

    def __init__(self, cause: str, wait: float | None = None) -> None:
        super().__init__(cause)
        self.wait = wait


@dataclass
class Fetcher:
    """Sends the GETs of one read of the source, from several threads.

    Attributes:
        address: the source; its credentials are sent with every request.
        attempts: the maximum number of tries of one request.
        backoff: seconds before the second try; doubled from try to try, with jitter.
        timeout: seconds that one try may take.
        patience: seconds that all requests together may take; after that no try starts, and none
            is waited for.
    """

    address: Address
    attempts: int
    backoff: float
    timeout: float
    patience: float
    sent: int = 0
    retries: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.session = requests.Session()
        self.session.headers.update(HEADERS)
        self.session.hooks["response"].append(_drop_body_of_redirect)
        if self.address.auth:
            self.session.auth = HTTPBasicAuth(*self.address.auth)
        self.session.params = self.address.query
        self._deadline = time.monotonic() + self.patience
        self._lock = threading.Lock()
        exponential = tenacity.wait_exponential(multiplier=self.backoff, max=LONGEST_BACKOFF)
        self._backoff = exponential + tenacity.wait_random(0, self.backoff)

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.cancelled.set()
        self.session.close()

    def get(self, url: str, query: Mapping[str, str | int], decode: Callable[[str], T]) -> T:
        """The decoded body of the answer; a ValueError of `decode` causes a retry.

        Raises:
            RefusedError: the status is neither 200 nor one that is retried.
            SourceError: the attempts or the patience are used up, or the answer is larger than
                LARGEST_ANSWER.
        """
        started = time.monotonic()
        try:
            answer: T = tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(_PassingError),
                stop=self._is_spent,
                wait=self._wait,
                sleep=tenacity.sleep_using_event(self.cancelled),
                before_sleep=self._count_retry,
            )(self._try, url, query, decode)
        except tenacity.RetryError as spent:
            last = spent.last_attempt
            impatient = f", and the whole read may take only {self.patience:g} s"
            raise SourceError(
                f"GET {_shown(url, query)} gave no usable answer in {last.attempt_number} "
                f"tries and {time.monotonic() - started:.0f} s"
                f"{impatient if last.attempt_number < self.attempts else ''}"
                f"; the last error: {last.exception()}"
            ) from None  # the cause is in the message; six stack traces would hide it
        return answer

    def _try(self, url: str, query: Mapping[str, str | int], decode: Callable[[str], T]) -> T:
        if self.cancelled.is_set():  # another page has failed: this one is not needed
            raise SourceError("canceled")
        timeout = min(self.timeout, self._deadline - time.monotonic())
        if timeout <= 0:
            raise SourceError(
                f"GET {_shown(url, query)} is not sent: the read has used its {self.patience:g} s"
            )
        with self._lock:
            self.sent += 1
        try:
            response, body = self._exchange(url, query, timeout)
        except RETRIED_ERRORS as error:
            said = self.address.hide(_reason(error))
            raise _PassingError(f"{type(error).__name__}: {said}") from None
        except requests.RequestException as error:
            # Its causes contain the full URL, and Dagster stores causes.
            said = self.address.hide(str(error))
            raise SourceError(f"GET {_shown(url, query)} cannot be sent: {said}") from None
        answer = self.address.hide(
            f"{response.status_code} {response.reason}: {body[:200].decode(errors='replace')!r}"
        )
        if response.status_code in RETRIED_STATUSES:
            raise _PassingError(answer, _retry_after(response.headers.get("Retry-After")))
        if response.status_code != requests.codes.ok:
            asked = self.address.hide(response.url)
            raise RefusedError(f"GET {asked} answered {answer}", response.status_code)
        try:
            return decode(body.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # JSON may be nested too deeply
            raise _PassingError(f"{error}, in {answer}") from error

    def _exchange(
        self, url: str, query: Mapping[str, str | int], timeout: float
    ) -> tuple[requests.Response, bytes]:
        """One request and its answer, in a thread that is abandoned when the time is up.

        A socket that hangs, or sends one byte at a time, cannot be stopped.
        """
        answer: Future[tuple[requests.Response, bytes]] = Future()

        def exchange() -> None:
            try:
                with self.session.get(url, params=query, timeout=timeout, stream=True) as response:
                    body = _body(response, timeout, _shown(url, query))
                    answer.set_result((response, body))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=exchange, name="request", daemon=True).start()
        until = time.monotonic() + timeout + PATROL
        while not wait([answer], timeout=PATROL).done:
            if self.cancelled.is_set():
                raise SourceError("canceled")
            if time.monotonic() > until:
                raise requests.Timeout(f"the answer took longer than {timeout:g} s")
        return answer.result()

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        named = error.wait if isinstance(error, _PassingError) else None
        return self._backoff(state) if named is None else named + self.backoff

    def _is_spent(self, state: tenacity.RetryCallState) -> bool:
        return (
            state.attempt_number >= self.attempts
            or self.cancelled.is_set()
            or time.monotonic() + state.upcoming_sleep > self._deadline
        )

    def _count_retry(self, _: tenacity.RetryCallState) -> None:
        with self._lock:
            self.retries += 1


def _reason(error: Exception) -> str:
    """Why a request failed: the innermost message of urllib3, without its connection's name."""
    wrapped = error.args[0] if error.args else error
    return _CONNECTION.sub("", str(getattr(wrapped, "reason", None) or error))


def _body(response: requests.Response, timeout: float, shown: str) -> bytes:
    """The uncompressed body, read in parts because its size is not known in advance."""
    # Ends the thread of an endless answer.
    until = time.monotonic() + timeout
    body = bytearray()
    while part := response.raw.read1(1 << 16, decode_content=True):
        body += part
        if len(body) > LARGEST_ANSWER:
            raise SourceError(
                f"GET {shown} answered with more than {LARGEST_ANSWER:,} bytes (uncompressed), the "
                "largest answer that is read; check that BREWERY_API_URL is a brewery API"
            )
        if time.monotonic() > until:
            raise requests.Timeout(f"the answer took longer than {timeout:g} s")
    return bytes(body)


def _drop_body_of_redirect(response: requests.Response, **_: object) -> None:
    """requests reads the whole body of a redirect before it follows, however large it is."""
    if response.is_redirect:
        response.close()


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait; the header holds seconds or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds()) if at.tzinfo else None


def _shown(url: str, query: Mapping[str, str | int]) -> str:
    return f"{url}?{urlencode(query)}" if query else url
