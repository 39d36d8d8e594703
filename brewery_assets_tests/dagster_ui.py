"""Dagster's daemon, alone or with the UI, in separate processes."""

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
    """Runs Dagster's daemon, which starts queued runs and evaluates the sensors, without the UI.

    Its log is dev.log in the checkout. Dagster's storage is created first: if two processes create
    it at the same time, it can contain two versions, and then no process can open it.
    """
    code, said = checkout.run(sys.executable, "-m", "dagster", "instance", "info")
    assert code == 0, said
    command = (sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml")
    with _started(checkout, *command):
        yield


@contextlib.contextmanager
def make_dev(checkout: Checkout) -> Iterator[str]:
    """Runs `make dev` in the tests' virtual environment; yields the address of the UI."""
    port = free_port()
    checkout.environment["DAGSTER_DG_DEV_PORT"] = str(port)  # dg's option --port
    environment = checkout.folder / ".venv"
    environment.mkdir()  # a folder, not a link: `venv --clear` would empty the link's target
    for part in Path(sys.prefix).iterdir():
        (environment / part.name).symlink_to(part)
    address = f"http://127.0.0.1:{port}"
    # --old-file: the environment is not reinstalled, even if it is out of date.
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
    """Runs the command in the background; at the end, sends Ctrl-C to all its processes."""
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
