"""The stack of docker-compose.yml: a folder in which tests run `make`, and containers."""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from brewery_assets_tests.checkout import ROOT, Checkout
from brewery_assets_tests.spark_servers import missing
from demo.s3 import free_port

SERVICES = (
    *("s3", "postgres", "spark-master", "spark-worker", "spark"),
    *("code", "webserver", "daemon"),
)
FILES = ("docker-compose.yml", "deploy/demo.yml", "brewery_assets_tests/stack.yml")
FULL, FEW = "http://demo:8000/v1", "http://few:8000/v1"
LABEL = "label=com.docker.compose"
ENDED = 1800.0  # seconds that a command may take
HEALTHY = 360.0  # seconds that a service may take to become healthy again


def require_engine() -> None:
    """If no container engine answers, the test is skipped, or fails in CI."""
    if not shutil.which("docker") or _docker("info").returncode:
        missing("no container engine answers `docker info`")


class Stack(Checkout):
    """A separate Compose project, on separate ports, over the bundled data."""

    files = (
        *("Makefile", "Dockerfile", ".dockerignore", ".env.example", "docker-compose.yml"),
        *("requirements-stack.lock", "deploy", "brewery_assets", "demo"),
        "brewery_assets_tests/stack.yml",
    )

    def __init__(self, folder: Path) -> None:
        self.project = f"brewery_test_{uuid.uuid4().hex[:8]}"
        self.web_port, self.s3_port = free_port(), free_port()
        super().__init__(
            folder,
            {
                "COMPOSE_PROJECT_NAME": self.project,
                "COMPOSE_FILE": os.pathsep.join(FILES),
                "STACK_WEBSERVER_PORT": str(self.web_port),
                "STACK_S3_PORT": str(self.s3_port),
                "BREWERY_API_URL": FULL,
            },
        )

    def place(self, name: str) -> None:
        """Copies, since the build context of an image does not follow links."""
        into = self.folder / name
        into.parent.mkdir(exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, into, ignore=ignored)
        else:
            shutil.copy(ROOT / name, into)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def make(self, *arguments: str) -> tuple[int, str]:
        """Runs a target; returns its exit code and output. Settings are given as NAME=VALUE."""
        return self.ended(self.start("make", "--no-print-directory", *arguments))

    def made(self, *arguments: str) -> str:
        """Runs a target, which must succeed; returns its output."""
        code, said = self.make(*arguments)
        assert code == 0, said
        return said

    @staticmethod
    def wait_for(happened: Callable[[], object]) -> None:
        """Waits until the condition is true."""
        until = time.monotonic() + HEALTHY
        while not happened():
            assert time.monotonic() < until
            time.sleep(1)

    def logs(self, service: str) -> str:
        """The log of a service."""
        return self.docker("logs", self.containers()[service]["Id"])

    def docker(self, *arguments: str) -> str:
        """The output of a Docker command, which must succeed."""
        ended = _docker(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout + ended.stderr

    @staticmethod
    def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
        """Waits until a command ends; returns its exit code and output."""
        try:
            said, _ = process.communicate(timeout=ENDED)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            raise AssertionError(f"still running after {ENDED:.0f} s:\n{said}") from None
        return process.returncode, said

    def settings(self) -> dict[str, str]:
        """The settings in `.env`."""
        lines = (self.folder / ".env").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
        return {name: value for name, _, value in pairs}

    def containers(self) -> dict[str, dict[str, Any]]:
        """The result of `docker inspect` for each service's container, running or not."""
        kind = (f"{LABEL}.project={self.project}", f"{LABEL}.oneoff=False")
        filters = [part for text in kind for part in ("--filter", text)]
        ids = self.docker("ps", "--all", "--quiet", *filters).split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def volumes(self) -> set[str]:
        """The volumes that its containers use, including anonymous ones."""
        mounts = (mount for found in self.containers().values() for mount in found["Mounts"])
        return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}

    def left(self, volumes: set[str]) -> set[str]:
        """The containers, networks and volumes that remain of the project and of these volumes."""
        of_project = ("--quiet", "--filter", f"{LABEL}.project={self.project}")
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        labelled = {line for kind in kinds for line in self.docker(*kind, *of_project).split()}
        return labelled | volumes & {*self.docker("volume", "ls", "--quiet").split()}

    def crash(self, service: str) -> None:
        """Kills a service as the kernel would; its restart policy starts it again.

        The kill runs in a container that sees the engine's process ids. After `docker kill`, the
        engine would not restart the service.
        """
        found = self.containers()
        as_root = ("--user", "0", "--pid", "host", "--network", "none", "--entrypoint", "bash")
        kill = ("-c", f"kill -9 {found[service]['State']['Pid']}")
        self.docker("run", "--rm", *as_root, found["code"]["Config"]["Image"], *kill)

    def wait_until_back(self, service: str, restarts: int) -> None:
        """Waits until a service has been restarted and is healthy."""
        until = time.monotonic() + HEALTHY
        while True:
            found = self.containers()[service]
            healthy = found["State"].get("Health", {}).get("Status") == "healthy"
            if found["RestartCount"] > restarts and found["State"]["Running"] and healthy:
                return
            assert time.monotonic() < until, json.dumps(found["State"])
            time.sleep(0.5)

    def client(self) -> Any:
        """A boto3 client of its S3 server."""
        settings = self.settings()
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.s3_port}",
            region_name="us-east-1",
            aws_access_key_id=settings["STACK_S3_ACCESS_KEY"],
            aws_secret_access_key=settings["STACK_S3_SECRET_KEY"],
        )

    def objects(self) -> dict[str, int]:
        """The size of each object in its bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="lake")
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def runs(self) -> dict[str, str]:
        """The status of every run in Dagster's storage in PostgreSQL."""
        query = "select run_id, status from runs"
        psql = ("psql", "--username=dagster", "--csv", "--tuples-only", "--command", query)
        said = self.docker("exec", self.containers()["postgres"]["Id"], *psql)
        return dict(line.split(",") for line in said.split())


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [shutil.which("docker") or "docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
