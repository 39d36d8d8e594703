"""A lake in a bucket of Amazon S3, or of a store that speaks its protocol."""

import hashlib
import io
import mimetypes
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from tenacity import (
    Retrying,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from brewery_assets.aws import Aws, endpoint_of, region_of, said_by, why
from brewery_assets.lake.outages import through_outages, warn
from brewery_assets.lake.storage import OUTAGE, Result, StoredFile
from brewery_assets.settings import SettingsError

AT_ONCE = 10  # the number of connections in boto3's pool
PROBE = ".probe"
QUOTE = '"'
TRIES = 5
KEYS = 1000  # per delete request
LATE = 4.0  # seconds; Sail gives up on a request after two
NOT_FOUND = ("404", "NoSuchKey")
TAKEN = ("412", "PreconditionFailed")
CONFLICT = ("409", "ConditionalRequestConflict")  # with a request that is still running
CUT = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
UNREACHED = (BotoConnectionError, HTTPClientError, IncompleteReadError)
CANNOT_NOW = (500, 502, 503, 504)


class S3Error(OSError):
    """S3 refused a request or failed to serve it; the message has the URI and the reason."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri}: {reason}")
        self.reason = reason


class ConflictError(S3Error):
    """Another request for the same key is still running; a retry may succeed."""


class AwayError(S3Error):
    """S3 cannot be reached, or cannot answer now."""


class Bucket:
    """A lake below a prefix of a bucket; see `Storage`.

    Args:
        uri: s3://bucket/prefix.
        aws: how to reach S3.
        patience: seconds to wait for an unavailable store that has answered before.
    """

    def __init__(self, uri: str, aws: Aws, patience: float = OUTAGE) -> None:
        self.root = uri
        self.bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._outage = patience
        self._patience = 0.0  # an address that has never answered may be wrong
        self.creates_once = False
        try:
            self.client = aws.client("s3")
        except (BotoCoreError, ValueError) as error:  # an unknown profile, a bad endpoint
            raise SettingsError(f"LAKE_URI={uri}: {why(error)}") from None

    def prepare(self) -> None:
        try:
            self.folders("")
            if not endpoint_of(self.client):
                self._require_the_region()
            self.write(PROBE, b"")  # only a write shows that writes are allowed
            self.creates_once = self._refuses_what_exists()
            self.delete(PROBE)
            self._patience = self._outage
        except S3Error as error:
            raise SettingsError(f"LAKE_URI={self.root}: {error.reason}") from None

    def _refuses_what_exists(self) -> bool:
        """Whether `If-None-Match` works; some stores accept it but still overwrite the object."""

        def refuses() -> bool:
            try:
                self._put_new(PROBE, b"")
            except (FileExistsError, ConflictError):
                return True
            return False

        return any(refuses() for _ in range(TRIES))  # another run may just have deleted it

    def _require_the_region(self) -> None:
        """Refuses a wrong region: boto3 finds a bucket in any region, but engines do not."""
        try:
            answer = self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:  # S3 returns the region even if it denies access
            answer = error.response
        except BotoCoreError as error:
            raise S3Error(self.root, why(error)) from None
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        where = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
        if where and where != (said := region_of(self.client)):
            raise SettingsError(f"AWS_REGION: the bucket {self.bucket} is in {where}, not {said}")

    def uri(self, path: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{path}".rstrip("/")

    def free(self) -> int | None:
        return None

    def folders(self, path: str) -> list[str]:
        below = self._below(path)
        return sorted(
            found["Prefix"][len(below) : -1]
            for page in self._listed(below, Delimiter="/")
            for found in page.get("CommonPrefixes", [])
        )

    def files(self, path: str) -> list[StoredFile]:
        below = self._below(path)
        return sorted(
            StoredFile(
                found["Key"][len(below) :], found["Size"], f"etag:{found['ETag'].strip(QUOTE)}"
            )
            for page in self._listed(below)
            for found in page.get("Contents", [])
            if not found["Key"].endswith("/")  # an empty object that marks a folder
        )

    def last_change(self, path: str) -> datetime | None:
        pages = self._listed(self._below(path))
        times = (found["LastModified"] for page in pages for found in page.get("Contents", []))
        return max(times, default=None)

    def exists(self, path: str) -> bool:
        key = self.prefix + path
        try:
            self._asked(path, lambda: self.client.head_object(Bucket=self.bucket, Key=key))
        except FileNotFoundError:
            return False
        return True

    def read(self, path: str) -> bytes:
        return self._asked(path, lambda: self._whole(self.prefix + path))

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.read(path)).hexdigest()

    @retry(retry=retry_if_exception_type(CUT), stop=stop_after_attempt(TRIES), reraise=True)
    def _whole(self, key: str) -> bytes:
        """The whole object. boto3 itself retries only until the first byte of the body arrives."""
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def read_each(self, paths: Sequence[str]) -> list[bytes | None]:
        def read(path: str) -> bytes | None:
            try:
                return self.read(path)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(read, paths))

    def write(self, path: str, content: bytes) -> None:
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"  # for browsers
        self._asked(
            path,
            lambda: self.client.upload_fileobj(  # in parts if it is large; all or nothing
                io.BytesIO(content),
                self.bucket,
                self.prefix + path,
                ExtraArgs={"ContentType": kind},
            ),
        )

    @retry(
        retry=retry_if_exception_type(ConflictError),
        stop=stop_after_attempt(TRIES),
        wait=wait_fixed(1),
        reraise=True,
    )
    def create(self, path: str, content: bytes) -> None:
        try:
            self._put_new(path, content)
        except FileExistsError:
            # A retry of a request whose answer was lost finds what the first one wrote.
            if self.read(path) != content:
                raise

    def _put_new(self, path: str, content: bytes) -> None:
        key = self.prefix + path
        self._asked(
            path,
            lambda: self.client.put_object(
                Bucket=self.bucket, Key=key, Body=content, IfNoneMatch="*"
            ),
        )

    def delete(self, path: str) -> None:
        key = self.prefix + path
        self._asked(path, lambda: self.client.delete_object(Bucket=self.bucket, Key=key))

    def delete_each(self, paths: Sequence[str]) -> None:
        for some in range(0, len(paths), KEYS):
            self._delete(paths[0], [self.prefix + path for path in paths[some : some + KEYS]])

    def delete_folder(self, path: str) -> None:
        for page in self._listed(self._below(path)):
            if keys := [found["Key"] for found in page.get("Contents", [])]:
                self._delete(path, keys)

    def _delete(self, path: str, keys: list[str], tries: int = TRIES) -> None:
        """Deletes at most 1,000 keys; retries those for which S3 was too busy."""
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._asked(
            path, lambda: self.client.delete_objects(Bucket=self.bucket, Delete=wanted)
        )
        if errors := answer.get("Errors"):
            if tries == 1:
                first = errors[0]
                raise S3Error(self.uri(path), f"{first.get('Message')} ({first.get('Code')})")
            self._delete(path, [error["Key"] for error in errors], tries - 1)

    def _below(self, path: str) -> str:
        return f"{self.prefix}{path}/" if path else self.prefix

    def _listed(self, prefix: str, **options: Any) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2")
        return self._asked(
            prefix.removeprefix(self.prefix),
            lambda: list(pages.paginate(Bucket=self.bucket, Prefix=prefix, **options)),
        )

    def through_outages(self, work: Callable[[], Result], writes: str | None) -> Result:
        return through_outages(
            work, lambda: self._cleared(writes) if writes else None, self._patience
        )

    def _cleared(self, path: str) -> None:
        """Empties a folder until it stays empty: a failed write may have requests still running."""
        self.delete_folder(path)
        time.sleep(LATE)
        while self.files(path):
            self.delete_folder(path)
            time.sleep(LATE)

    def _asked(self, path: str, request: Callable[[], Result]) -> Result:
        """S3's answer; waits for an unavailable store if it has answered before."""

        def ask() -> Result:
            with self._explained(path):
                return request()

        again = Retrying(
            retry=retry_if_exception_type(AwayError),
            wait=wait_exponential(multiplier=0.25, max=10),
            stop=stop_after_delay(self._patience),
            before_sleep=warn,
            reraise=True,
        )
        try:
            return again(ask)
        except AwayError:
            self._patience = 0.0  # the run fails; its cleanup must not wait again
            raise

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            code, _ = said_by(error)
            if code in NOT_FOUND:
                raise FileNotFoundError(self.uri(path)) from None
            if code in TAKEN:
                raise FileExistsError(self.uri(path)) from None
            if code in CONFLICT:
                raise ConflictError(self.uri(path), why(error)) from None
            if _is_away(error):
                raise AwayError(self.uri(path), why(error)) from None
            raise S3Error(self.uri(path), why(error)) from None


def _is_away(error: Exception) -> bool:
    answer = getattr(error, "response", None) or {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return isinstance(error, UNREACHED) or status in CANNOT_NOW
