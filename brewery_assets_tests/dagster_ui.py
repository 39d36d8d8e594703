"""Dagster's daemon, and the UI with it, in separate processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from brewery_assets_tests.checkout import Checkout
from demo.s3 import free_port


@contextlib.contextmanager
def dagster_daemon(checkout: Checkout) -> Iterator[None]:
    """Dagster's daemon, which takes runs from the queue and evaluates the sensors, without the UI.

    Its log is dev.log in the checkout. Dagster's storage is created before: two processes that
    create it at the same moment can leave it with two versions, which no later process opens.
    """
    code, said = checkout.run(sys.executable, "-m", "dagster", "instance", "info")
    assert code == 0, said
    command = (sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml")
    with _started(checkout, *command):
        yield


@contextlib.contextmanager
def make_dev(checkout: Checkout) -> Iterator[str]:
    """The address of the UI that `make dev` starts, in the environment that runs the tests."""
    port = free_port()
    checkout.environment["DAGSTER_DG_DEV_PORT"] = str(port)  # the option --port, for dg
    environment = checkout.folder / ".venv"
    environment.mkdir()  # not itself a link, through which `venv --clear` would empty the real one
    for part in Path(sys.prefix).iterdir():
        (environment / part.name).symlink_to(part)
    address = f"http://127.0.0.1:{port}"
    # However old the environment is, it is not installed again.
    with _started(checkout, "make", "--old-file=.venv/installed", "dev") as process:
        until = time.monotonic() + 300
        while not answers(address):
            log = (checkout.folder / "dev.log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < until, log
            time.sleep(0.2)
        yield address


@contextlib.contextmanager
def _started(checkout: Checkout, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in the background; at the end Ctrl-C, which reaches every process at once."""
    with (checkout.folder / "dev.log").open("w") as output:
        process = checkout.start(*command, output=output)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=180)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/server_info", timeout=30).ok
    except requests.RequestException:
        return False
