"""The Dagster UI with its daemon, in processes of their own."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from brewery_assets_tests.checkout import Checkout
from demo.s3 import free_port

DAGSTER = (sys.executable, "-m", "dagster")


@contextlib.contextmanager
def dagster_dev(checkout: Checkout) -> Iterator[str]:
    """The address of the Dagster UI with its daemon."""
    port = free_port()
    command = ("dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port))
    with _serving(checkout, port, *DAGSTER, *command) as address:
        yield address


@contextlib.contextmanager
def make_dev(checkout: Checkout) -> Iterator[str]:
    """The same, by `make dev`; the environment that it uses is the one that runs the tests."""
    port = free_port()
    checkout.environment["DAGSTER_DG_DEV_PORT"] = str(port)  # the option --port, for dg
    environment = checkout.folder / ".venv"
    environment.mkdir()  # not itself a link, through which `venv --clear` would empty the real one
    for part in Path(sys.prefix).iterdir():
        (environment / part.name).symlink_to(part)
    # However old the environment is, it is not to be made anew.
    with _serving(checkout, port, "make", "--old-file=.venv/installed", "dev") as address:
        yield address


@contextlib.contextmanager
def _serving(checkout: Checkout, port: int, *command: str) -> Iterator[str]:
    """The address, once it answers; in the end Ctrl-C, which reaches every process at once."""
    address = f"http://127.0.0.1:{port}"
    log = checkout.folder / "dev.log"
    with log.open("w") as output:
        process = checkout.start(*command, output=output)
        try:
            until = time.monotonic() + 120
            while not answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/server_info", timeout=5).ok
    except requests.RequestException:
        return False
