"""`brewery run` and other commands as a user sees them: in a terminal, in a pipe, on failure."""

import os
import pty
import re
import select
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import requests

from brewery_assets_tests.checkout import Checkout
from brewery_assets_tests.conftest import LAYERS, Pipeline
from brewery_assets_tests.dagster_ui import make_dev
from brewery_assets_tests.scenario import GOOD
from brewery_assets_tests.test_interruptions import appears
from demo.data import Row
from demo.faults import Faults
from demo.s3 import free_port

pytestmark = pytest.mark.slow("each command is a whole run in a separate process")

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
OURS = "warning: Other accounts can log in to this machine."  # printed on such a machine
PATIENCE = 120.0


@pytest.fixture
def checkout(pipeline: Pipeline, tmp_path: Path) -> Checkout:
    pipeline.api.rows[:] = GOOD
    return Checkout(
        tmp_path / "checkout", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )


def run(checkout: Checkout, *arguments: str) -> tuple[int, str]:
    """The command's exit code and output, without the warning about this machine."""
    code, said = checkout.run(*checkout.brewery(*arguments))
    lines = said.splitlines(keepends=True)
    return code, "".join(line for line in lines if not line.startswith(OURS))


def on_a_terminal(checkout: Checkout, *arguments: str, ctrl_c_after: str = "") -> tuple[int, str]:
    """The same in a pseudo-terminal; Ctrl-C is typed after `ctrl_c_after` appears."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(checkout.folder)
        command = checkout.brewery(*arguments)
        os.execvpe(command[0], command, {**checkout.environment, "TERM": "xterm"})  # noqa: S606
    said, until, typed = "", time.monotonic() + PATIENCE, not ctrl_c_after
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            heard = os.read(terminal, 65_536)
        except OSError:  # on Linux, the end of the output
            break
        said += heard.decode(errors="replace")
        if not typed and ctrl_c_after in said:
            os.write(terminal, b"\x03")
            typed = True
    else:
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said


def test_in_a_pipe_the_output_is_plain_lines_and_a_summary(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    code, said = run(checkout, "run")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0] == f"page 1 of 1: {len(GOOD)} breweries"
    published = [line.split()[0] for line in lines[1 : len(LAYERS) + 1]]
    assert sorted(published) == sorted(LAYERS)
    assert published[0] == "bronze_breweries"
    rows = rf"^silver_breweries +{len(GOOD)} rows +[\d,]+ B in \d+ files +\d+\.\d s  \d warnings?: "
    assert re.search(rows, said, re.MULTILINE), said
    assert lines[len(LAYERS) + 1] == ""
    snapshot = pipeline.newest("gold_brewery_counts").snapshot
    assert lines[len(LAYERS) + 2] == f"Published as snapshot {snapshot}:"
    assert "\nWhat next:\n  make publish_report " in said
    assert "\x1b" not in said
    assert "INFO" not in said


def test_in_a_terminal_a_progress_bar_shows_the_pages_and_then_disappears(
    pipeline: Pipeline, checkout: Checkout, real_rows: list[Row]
) -> None:
    pipeline.api.rows[:] = real_rows[:2_400]
    code, said = on_a_terminal(checkout, "run")
    assert code == 0, said
    assert "━" in said
    assert "page 10 of 12: 2,000 breweries" in said
    assert "\x1b[?25h" in said  # the cursor is visible again
    lines = ESCAPES.sub("", said.rpartition("\x1b[2K")[2]).split("\r\n")
    assert any(line.startswith("Published as snapshot ") for line in lines)
    assert not any("━" in line for line in lines)


def test_verbose_also_shows_the_log_of_dagster(checkout: Checkout) -> None:
    code, said = run(checkout, "run", "--verbose")
    assert code == 0, said
    assert "Spark engine: " in said
    assert said.count("page 1 of 1") == 1
    assert "\nPublished as snapshot " in said


def test_a_source_that_is_down_is_explained_in_the_last_lines(checkout: Checkout) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    checkout.environment["BREWERY_API_URL"] = url
    code, said = run(checkout, "run")
    assert code == 1
    failed, cause, todo, more, log = said.strip().splitlines()
    assert failed == "Failed  bronze_breweries failed. Readers keep the last published snapshot."
    assert cause.startswith(f"Cause   GET {url}/breweries/meta gave no usable answer")
    assert todo == "To do   Check that the API answers, then run: make run_pipeline"
    assert 'docs/operations.md, "What each alert means"' in more
    assert re.fullmatch(r"Log     make log RUN=[0-9a-f]{8}", log)
    code, whole = checkout.run(*checkout.brewery("log", log[-8:]))
    assert code == 0
    assert whole.startswith(f"Run {log[-8:]}")
    assert "Stack Trace:" in whole
    assert checkout.run(*checkout.brewery("log"))[1] == whole
    assert checkout.run(*checkout.brewery("log", "nothing"))[0] == 1


@pytest.mark.usefixtures("published")
def test_a_failed_blocking_check_is_explained_with_numbers_and_the_command_that_accepts_it(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    pipeline.api.rows[:] = GOOD[:5]
    code, said = run(checkout, "run")
    assert code == 1
    assert "\nFailed  bronze_breweries is not published: a check blocks it. Readers keep" in said
    assert re.search(r"\nCause   row_count_is_plausible: .*\n +\(rows: 5; previous: 13; ", said)
    assert "\n        ACCEPT_CHECKS=row_count_is_plausible make run_pipeline\n" in said
    assert len(said.splitlines()) == 8


def only_run(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterRun:
    """The only run in the checkout's Dagster storage."""
    monkeypatch.chdir(checkout.folder)  # the paths in dagster.yaml are relative to it
    with dg.DagsterInstance.from_config(".") as instance:
        (run,) = instance.get_runs()
    return run


@pytest.mark.parametrize("when", ["starting", "bronze_breweries"])
def test_ctrl_c_stops_a_run_cleanly_with_a_message(
    pipeline: Pipeline, checkout: Checkout, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    pipeline.api.faults = Faults(hanging=1.0)
    code, said = on_a_terminal(checkout, "run", ctrl_c_after=when)
    assert code == 130, said
    assert "Stopped before the end. Published before that: nothing." in said
    assert "Traceback" not in said
    assert "\x1b[?25h" in said
    if when == "bronze_breweries":
        assert only_run(checkout, monkeypatch).status is dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("published")
def test_a_signal_stops_a_run_and_its_engine_and_keeps_what_was_published(
    pipeline: Pipeline, checkout: Checkout, real_rows: list[Row], number: signal.Signals
) -> None:
    pipeline.api.rows[:] = real_rows
    gold = pipeline.newest("gold_brewery_counts")
    begun = appears(Path(pipeline.uri) / "silver_breweries")
    process = checkout.start(*checkout.brewery("run"))
    while not begun():
        assert process.poll() is None
        time.sleep(0.005)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(number)
    said, _ = process.communicate(timeout=90)
    if pipeline.newest("gold_brewery_counts") == gold:
        assert process.returncode == 130, said
        assert "Stopped before the end. Published before that: bronze_breweries" in said
    assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_run_continues_if_the_reader_of_its_output_exits(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    process = checkout.start("bash", "-c", f"{' '.join(checkout.brewery('run'))} | head -n 1")
    said, _ = process.communicate(timeout=PATIENCE)
    assert "breweries" in said or OURS in said
    assert pipeline.newest("gold_brewery_changes").rows == 0


def test_the_report_command_prints_the_path_last(pipeline: Pipeline, checkout: Checkout) -> None:
    pipeline.run()
    opener = checkout.folder / "browser"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" >{checkout.folder}/opened\n')
    opener.chmod(0o755)
    checkout.environment["BROWSER"] = str(opener)
    page = Path(pipeline.uri) / "brewery_report" / "index.html"
    code, said = run(checkout, "report", "--open")
    assert code == 0, said
    assert said.splitlines()[-1] == str(page)
    assert page.is_file()
    assert (checkout.folder / "opened").read_text().removeprefix("file://") == str(page)


AGAIN = """mutation Again($run: String!) {
  launchPipelineReexecution(reexecutionParams: {parentRunId: $run, strategy: FROM_FAILURE}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def asked(address: str, query: str, run_id: str) -> dict[str, Any]:
    """The answer of the UI's server to a GraphQL query about a run."""
    body = {"query": query, "variables": {"run": run_id}}
    answer = requests.post(f"{address}/graphql", json=body, timeout=60).json()
    (found,) = answer["data"].values()
    return dict(found)


def test_the_ui_reexecutes_a_run_from_its_failed_step(
    pipeline: Pipeline, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Path(pipeline.uri)
    lake.mkdir()
    in_the_way = lake / "gold_brewery_counts"
    in_the_way.write_text("a file where a folder should be")
    assert run(checkout, "run")[0] == 1
    in_the_way.unlink()
    failed = only_run(checkout, monkeypatch)
    with make_dev(checkout) as address:
        again = asked(address, AGAIN, failed.run_id)
        assert again["__typename"] == "LaunchRunSuccess", again
        until = time.monotonic() + PATIENCE
        while asked(address, STATUS, again["run"]["runId"])["status"] != "SUCCESS":
            assert time.monotonic() < until
            time.sleep(0.5)
    gold = pipeline.newest("gold_brewery_counts")
    assert gold.run_id == again["run"]["runId"]
    assert pipeline.newest("bronze_breweries").run_id == failed.run_id
