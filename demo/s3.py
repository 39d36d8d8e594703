"""An S3 server on loopback, for the demo and the tests: `python -m demo.s3` (SeaweedFS).

It stores everything in one temporary folder, which is deleted when the server stops.
"""

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

HOST = "127.0.0.1"
REGION = "us-east-1"
STARTING = 30.0  # seconds
OWNER = ("owner-of-the-demo", "a-secret-that-opens-nothing-but-loopback")
READER = ("reader-of-the-demo", "another-secret-of-no-worth")
PROBE = ".up"
PARTS = ("master", "filer", "volume", "s3", "admin")
RIGHTS = {
    "identities": [
        {
            "name": name,
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": actions,
        }
        for name, (key, secret), actions in (
            ("owner", OWNER, ["Admin", "Read", "List", "Tagging", "Write"]),
            ("reader", READER, ["Read", "List"]),
        )
    ]
}
PORTS = range(20_000, 32_000)  # below the ports that systems use for outgoing connections
COUNTED = re.compile(r'^SeaweedFS_s3_request_total\{.*type="(\w+)"\} (\d+)$', re.MULTILINE)


_counted = itertools.count(100 * os.getpid())


class S3Server:
    """SeaweedFS in a separate process, with two users: an owner and a read-only user."""

    def __init__(self, *buckets: str, port: int = 0) -> None:
        self._buckets = buckets
        self._ports = {
            f"{part}.port{kind}": free_port() for part in PARTS for kind in ("", ".grpc")
        }
        self._ports["s3.port"] = port or self._ports["s3.port"]
        self._metrics = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="s3-"))  # short, because it contains sockets
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "S3Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port on loopback that clients connect to."""
        return self._ports["s3.port"]

    @property
    def url(self) -> str:
        """The address, for AWS_ENDPOINT_URL."""
        return f"http://{HOST}:{self.port}"

    def environment(self, user: tuple[str, str] = OWNER) -> dict[str, str]:
        """The settings that make AWS clients use this server instead of Amazon S3."""
        key, secret = user
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def client(self) -> Any:
        """The owner's boto3 client."""
        key, secret = OWNER
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def requests(self) -> Counter[str]:
        """The number of answered requests by kind: GET, PUT, LIST, …"""
        told = requests.get(f"http://{HOST}:{self._metrics}/metrics", timeout=10).text
        found: Counter[str] = Counter()
        for kind, number in COUNTED.findall(told):
            found[kind] += int(number)
        return found

    def start(self) -> None:
        """Starts the server and creates its buckets. After `kill`, the stored objects are kept.

        Raises:
            RuntimeError: it did not start; the message has its log.
        """
        rights = self._folder / "rights.json"
        rights.write_text(json.dumps(RIGHTS))
        said = self._folder / "log"
        with said.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program of a pinned package
                self._command(rights),
                cwd=self._folder,
                env={"HOME": str(self._folder), "TMPDIR": str(self._folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + STARTING
        while not self._is_up() or self._process.poll() is not None:
            if self._process.poll() is not None or time.monotonic() > until:
                why = said.read_text()[-2000:]
                self.stop()
                raise RuntimeError(f"SeaweedFS did not start:\n{why}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills the server, like a power failure; `start` starts it again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stops the server and deletes all objects."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                left.unlink(missing_ok=True)

    def _is_up(self) -> bool:
        client = self.client()
        try:
            there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in self._buckets:
                if bucket not in there:
                    client.create_bucket(Bucket=bucket)
                # It lists its buckets before all parts that store objects have started.
                client.put_object(Bucket=bucket, Key=PROBE, Body=b"")
                for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                    for kept in page["Contents"]:
                        client.get_object(Bucket=bucket, Key=kept["Key"])["Body"].read()
                client.delete_object(Bucket=bucket, Key=PROBE)
        except (BotoCoreError, ClientError):
            return False
        return True

    def _command(self, rights: Path) -> list[str]:
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed"
        options = {
            "dir": self._folder,
            "ip": HOST,
            "ip.bind": HOST,
            "s3.config": rights,
            "s3.autoCreateBucket": "false",
            "s3.metricsPort": self._metrics,
            "metricsPort": self._metrics,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": self._folder / "s3.sock",
            "filer.localSocket": self._folder / "filer.sock",
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
            **self._ports,
        }
        return [weed, "-logtostderr", "mini", *(f"-{name}={of}" for name, of in options.items())]


def free_port(wanted: int = 0) -> int:
    """The wanted port on loopback if it is free, else a free port that is not reused soon.

    If the system chose the port, it could give the same port to another process before the server
    has started. So each process counts through PORTS from a different start.
    """
    port = wanted or PORTS[next(_counted) % len(PORTS)]
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return free_port()
    return port


def main() -> None:
    """Serves a bucket `lake` until it is interrupted."""
    stopping = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stopping.set())
    with S3Server("lake", port=free_port(8333)) as server:
        print("An S3 server with an empty bucket; Ctrl-C stops it and deletes its objects.")
        print("Type these in another terminal, or copy them without `export` to .env:\n")
        for name, value in {"LAKE_URI": "s3://lake/breweries", **server.environment()}.items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        while not stopping.wait(0.5):
            pass


if __name__ == "__main__":
    main()
