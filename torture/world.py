"""What a trial has: a source, a lake with a good snapshot, and a folder to run the pipeline in."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil

from brewery_assets.lake.lake import Lake
from brewery_assets_tests.checkout import Checkout
from demo.data import Row, load
from demo.s3 import REGION, S3Server
from demo.server import DemoApi

ROWS = 600  # three pages
LONGEST_RUN = 300.0  # seconds; a run that takes longer is a fault
# As in production, but failures are quick.
PATIENCE = {"backoff": 0.05, "attempts": 4, "timeout": 3.0, "patience": 40.0}
WAIT_FOR_S3 = 20.0  # seconds
SETTINGS = {"FILLED_LOST_PERCENT": "10", "ROWS_LOST_PERCENT": "10", "REJECTED_PERCENT": "5"}
CAUSE = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Failure|Exception): (.+)$", re.MULTILINE)


class Ended(NamedTuple):
    """A run that has ended: its exit code, negative for a signal, and its output."""

    code: int
    said: str

    @property
    def cause(self) -> str:
        """The message of the error that ended it, at most 160 characters; blank after success."""
        if self.code == 0:
            return ""
        causes = [
            found for found in CAUSE.findall(self.said) if "Error occurred while" not in found
        ]
        cause: str = causes[0] if causes else f"exit code {self.code}"
        return cause[:160]


class World:
    """One trial's source and lake, and the folder in which its runs are started.

    Attributes:
        before: the rows of the snapshot that the lake has.
        truth: the rows that the source has now; `api.rows` serves them, unless a trial spoils it.
        settings: environment variables for every run.
    """

    def __init__(self, folder: Path, api: DemoApi, uri: str, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.api = api
        self.uri = uri
        self.before: list[Row] = []
        self.truth: list[Row] = []
        self.settings = {**SETTINGS, **settings}
        self.temporary = folder / "tmp"
        self._runs = 0

    @property
    def lake(self) -> Lake:
        """The lake, read afresh, past any proxy."""
        return Lake(uri=self.uri)

    def start(self, **settings: str) -> "Running":
        """Starts the job as a user does, in its own folder and session."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        environment = {
            **self.settings,
            "BREWERY_API_URL": self.api.url,
            "LAKE_URI": self.uri,
            "TMPDIR": str(self.temporary),
            **settings,
        }
        checkout = Checkout(folder, environment)
        lake: dict[str, object] = {"uri": self.uri}
        if self.uri.startswith("s3://"):
            lake |= {"aws": {"region": REGION}, "wait_for_s3": WAIT_FOR_S3}
        resources = {
            "lake": {"config": lake},
            "open_brewery_db": {"config": {"url": environment["BREWERY_API_URL"], **PATIENCE}},
        }
        config = folder / "config.json"
        config.write_text(json.dumps({"resources": resources}))
        return Running(checkout, (*checkout.job(), "--config", str(config)))

    def run(self, **settings: str) -> Ended:
        """Runs the job to its end."""
        return self.start(**settings).wait()

    def left_behind(self, patience: float = 0.0) -> list[str]:
        """Processes of this world's runs that still exist, and what is left in its TMPDIR.

        Args:
            patience: seconds that they may take to end.
        """
        until = time.monotonic() + patience
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(0.1)
        return left

    def _left(self) -> list[str]:
        processes = filter(self._started, psutil.process_iter(["environ", "cmdline", "status"]))
        shown = (f"process {' '.join(process.info['cmdline'])[:80]}" for process in processes)
        return [*shown, *(f"temporary {path.name}" for path in self.temporary.iterdir())]

    def _started(self, process: psutil.Process) -> bool:
        ours = (process.info["environ"] or {}).get("TMPDIR") == str(self.temporary)
        return ours and process.info["status"] != psutil.STATUS_ZOMBIE


class Running:
    """A run in progress."""

    def __init__(self, checkout: Checkout, command: Sequence[str]) -> None:
        self._output = checkout.folder / "output"
        with self._output.open("w") as output:
            self.process = checkout.start(*command, output=output)

    def kill(self, after: float) -> bool:
        """Kills the run and its engine after some seconds; whether it was still running."""
        try:
            self.process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            self.kill_rest()
            self.process.wait()
            return True
        return False

    def kill_rest(self) -> None:
        """Kills the processes that the run has left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self) -> Ended:
        """Waits for its end; a run that takes too long is killed, and its exit code is -9."""
        self.kill(LONGEST_RUN)
        return Ended(self.process.returncode, self._output.read_text(errors="replace"))


class Universe:
    """Makes worlds whose lakes are copies of one lake with one good snapshot.

    Attributes:
        seconds: how long a run takes on this machine.
    """

    def __init__(self, folder: Path, s3: S3Server) -> None:
        self.folder = folder
        self.s3 = s3
        self.rows = load()[: 2 * ROWS]
        self._worlds = 0
        self.seconds = 0.0
        self._template = folder / "template"

    def prepare(self) -> None:
        """Publishes the snapshot that every lake starts with.

        Raises:
            RuntimeError: the run failed; the message has its output.
        """
        with self._world(str(self._template), {}) as world:
            world.api.rows[:] = self.rows[:ROWS]
            started = time.monotonic()
            ended = world.run()
            self.seconds = time.monotonic() - started
            if ended.code:
                raise RuntimeError(f"the pipeline does not run here:\n{ended.said[-3000:]}")

    @contextmanager
    def world(self, place: str, random: Random) -> Iterator[World]:
        """A lake in a folder or on S3, with the good snapshot; the source has changed since.

        Args:
            place: `folder` or `s3`.
            random: chooses what has changed.
        """
        if place == "folder":
            uri = str(self.folder / f"lake-{self._worlds}")
            shutil.copytree(self._template, uri)
            settings: dict[str, str] = {}
        else:
            uri = f"s3://lake/{self._worlds}"
            settings = self.s3.environment()
            self._upload(uri)
        with self._world(uri, settings) as world:
            rows = [dict(row) for row in self.rows]
            changed = random.randrange(ROWS)
            rows[changed]["name"] = f"Renamed {random.randrange(1000)}"
            world.before = self.rows[:ROWS]
            world.truth = rows[random.randrange(1, 6) : ROWS + random.randrange(1, 9)]
            world.api.rows[:] = world.truth
            yield world
        if place == "folder":
            shutil.rmtree(uri, ignore_errors=True)

    @contextmanager
    def _world(self, uri: str, settings: Mapping[str, str]) -> Iterator[World]:
        self._worlds += 1
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
            (folder / "tmp").mkdir()
            api = stack.enter_context(DemoApi([], requests_per_minute=None))
            yield World(folder, api, uri, settings)

    def _upload(self, uri: str) -> None:
        storage = Lake(uri=uri).storage
        storage.prepare()
        files = [path for path in self._template.rglob("*") if path.is_file()]
        # Manifests last, as a run writes them.
        for file in sorted(files, key=lambda path: path.name.startswith("_")):
            storage.write(file.relative_to(self._template).as_posix(), file.read_bytes())
