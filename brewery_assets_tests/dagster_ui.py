"""The Dagster UI with its daemon, in processes of their own, asked as a browser asks it."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import requests

from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import LAYERS

DAGSTER = (sys.executable, "-m", "dagster")


@contextlib.contextmanager
def dagster_dev(checkout: Checkout) -> Iterator[str]:
    """The address of the Dagster UI with its daemon."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ("dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    with (checkout.folder / "dev.log").open("w") as log:
        process = checkout.start(*DAGSTER, *command, output=log)
        try:
            until = time.monotonic() + 60
            while not answers(address):
                assert process.poll() is None, (checkout.folder / "dev.log").read_text()
                assert time.monotonic() < until
                time.sleep(0.2)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/server_info", timeout=5).ok
    except requests.RequestException:
        return False


def ask(address: str, query: str, **variables: Any) -> Any:
    body = {"query": query, "variables": variables}
    answer = requests.post(f"{address}/graphql", json=body, timeout=30).json()
    assert "errors" not in answer, json.dumps(answer)
    return answer["data"]


LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
STATUS = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def materialize_all(address: str, wait: float) -> str:
    """What becomes of a run of all assets, launched as the UI's button does."""
    params = {
        "selector": {
            "repositoryLocationName": "brewery_assets",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in LAYERS],
        },
        "mode": "default",
    }
    launched = ask(address, LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    until = time.monotonic() + wait
    status = "QUEUED"
    while status not in ("SUCCESS", "FAILURE", "CANCELED") and time.monotonic() < until:
        time.sleep(0.3)
        status = ask(address, STATUS, id=launched["run"]["runId"])["runOrError"]["status"]
    return status
