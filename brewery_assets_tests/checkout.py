"""A checkout of the project: a folder in which tests run commands, with separate storage."""

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from typer.testing import CliRunner

from brewery_assets.cli import app
from brewery_assets.settings import Settings

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "workspace.yaml", "dagster.yaml", "Makefile", "brewery_assets", "demo")
SCRUBBED = (
    "AWS_",
    "STACK_",
    "COMPOSE_",
    *(f"{name.upper().partition('_')[0]}_" for name in Settings.model_fields),
)


def brewery(*arguments: str) -> tuple[int, str]:
    """Runs the command-line program in this process; returns its exit code and output."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def stand_ins(folder: Path, real: Iterable[str], **scripts: str) -> str:
    """Makes a PATH with only these programs: real ones, and scripts that replace others.

    Args:
        folder: must not exist yet.
        real: names of programs on this machine.
        **scripts: Bash code by program name.
    """
    folder.mkdir()
    for name in real:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, script in scripts.items():
        program = folder / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
    return str(folder)


class Checkout:
    """A folder with the project's files, without the developer's settings."""

    files: tuple[str, ...] = FILES

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        for name in self.files:
            self.place(name)
        kept = {name: text for name, text in os.environ.items() if not name.startswith(SCRUBBED)}
        tools = Path(sys.executable).parent
        self.environment = {
            **kept,
            "PATH": f"{tools}{os.pathsep}{kept.get('PATH', '')}",
            "DAGSTER_HOME": str(folder),
            "AWS_CONFIG_FILE": str(folder / "no-such-file"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-such-file"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "REJECTED_PERCENT": "20",  # two of scenario.py's 13 rows are broken
            **settings,
        }

    def place(self, name: str) -> None:
        """Links one of the project's files or folders into this folder."""
        (self.folder / name).symlink_to(ROOT / name)

    def start(
        self, *command: str, output: IO[str] | int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Starts a command in a separate session, so that signals do not reach the tests."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def until(process: "subprocess.Popen[str]", awaited: str) -> str:
        """The output of a command up to the line with that text."""
        assert process.stdout
        said = ""
        while awaited not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        return said

    def run(self, *command: str) -> tuple[int, str]:
        """Runs a command; returns its exit code and output."""
        process = self.start(*command)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def brewery(self, *arguments: str) -> tuple[str, ...]:
        """The arguments that start the project's command-line program."""
        return (sys.executable, "-u", "-m", "brewery_assets", *arguments)

    def kept(self) -> bytes:
        """The content of Dagster's storage; compressed database values also decompressed."""
        return contents(self.folder / ".dagster")

    def job(self) -> tuple[str, ...]:
        """The arguments that run the job with the dagster CLI."""
        module = ("-m", "brewery_assets.definitions")
        return (sys.executable, "-m", "dagster", "job", "execute", "-j", JOB, *module)


JOB = "run_pipeline_brewery"
GZIP = b"\x1f\x8b"


def contents(folder: Path) -> bytes:
    """The content of all files in a folder; compressed files and values also decompressed."""
    parts = []
    for file in folder.rglob("*"):
        if file.is_file():
            raw = file.read_bytes()
            parts += [raw, *(_values(file) if file.suffix == ".db" else ())]
            if raw.startswith(GZIP):
                parts.append(gzip.decompress(raw))
    return b"\n".join(parts)


def _values(database: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f'select * from "{table}"'):  # noqa: S608
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    with suppress(zlib.error):
                        raw = zlib.decompress(raw)
                    yield raw
