"""A temporary folder and a clean environment, in which processes are measured."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from benchmarks.memory import MIB, watched
from brewery_assets.settings import Settings

ROOT = Path(__file__).parents[1]
NOT_OURS = {name.upper() for name in Settings.model_fields} | {"PYTHONDONTWRITEBYTECODE"}


class BenchmarkError(Exception):
    """A measured command failed or did not produce the expected result."""


class Measured(NamedTuple):
    """A finished command: wall seconds, peak resident MiB of its process tree, its output."""

    seconds: float
    peak: float
    output: str


class Bench:
    """Runs Python modules of this repository, all in one folder with one environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        temporary = folder / "tmp"
        temporary.mkdir()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in NOT_OURS and not name.startswith(("AWS_", "DAGSTER_"))
        }
        # Bytecode is cached like on a user's machine, but outside the repository.
        self.environment |= {
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "TMPDIR": str(temporary),
        }

    def run(self, *module: str, **environment: str) -> Measured:
        """Runs `python -m module …` and waits for it.

        Raises:
            BenchmarkError: it failed; the message has the end of its stderr.
        """
        out, errors = self.folder / "stdout", self.folder / "stderr"
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            started = time.perf_counter()
            with (
                self._started(module, environment, stdout, stderr) as process,
                watched(process.pid) as resident,
            ):
                status = process.wait()
                seconds = time.perf_counter() - started
        if status:
            end = errors.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise BenchmarkError(f"{' '.join(module)} ended with status {status}\n{end}")
        return Measured(seconds, max(resident) / MIB, out.read_text(encoding="utf-8"))

    @contextmanager
    def demo(self) -> Iterator[str]:
        """Runs the demo API in a separate process; yields its address."""
        module = ("demo", "--port", "0", "--requests-per-minute", "0")
        with self._started(module, {}, subprocess.PIPE, None) as process:
            said = process.stdout.readline().decode() if process.stdout else ""
            if not (address := re.search(r"http://\S+", said)):
                raise BenchmarkError(f"the demo API did not start: {said}")
            yield address[0]

    @contextmanager
    def _started(
        self,
        module: Sequence[str],
        environment: Mapping[str, str],
        stdout: int | IO[bytes],
        stderr: IO[bytes] | None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process in a separate session: Ctrl-C does not reach it. It ends with the context."""
        process = subprocess.Popen(  # noqa: S603  # this repository's own modules
            [sys.executable, "-m", *module],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                for below in _below(process.pid):
                    with suppress(psutil.NoSuchProcess):
                        below.kill()
                process.kill()


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench in a temporary folder, which is deleted on exit."""
    with tempfile.TemporaryDirectory(prefix="brewery-benchmarks-") as folder:
        yield Bench(Path(folder).resolve())
