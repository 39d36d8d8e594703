"""Every documented way to run the pipeline, typed as a user types it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import JOB, ROOT, Checkout
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.scenario import GOOD
from demo.s3 import free_port

pytestmark = pytest.mark.slow("each command is a whole run in a separate process")
IN_DEMO = pytest.mark.xdist_group("demo")  # one process, so that the demo runs once

MODULE = ("-m", "brewery_assets.definitions")


@pytest.fixture
def checkout(pipeline: Pipeline, tmp_path: Path) -> Checkout:
    return Checkout(
        tmp_path / "checkout", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-m", "dagster", "asset", "materialize", "--select", "*", *MODULE),
        ("dg", "launch", "--assets", "*"),
        ("dg", "launch", "--job", JOB),
    ],
)
def test_each_command_runs_the_same_pipeline_with_the_settings_of_a_dotenv_file(
    pipeline: Pipeline, checkout: Checkout, command: tuple[str, ...]
) -> None:
    del checkout.environment["LAKE_URI"]
    (checkout.folder / ".env").write_text(f"LAKE_URI={pipeline.uri}\nSPARK_REMOTE=\n")
    code, said = checkout.run(*command)
    assert code == 0, said
    assert said.count("Spark engine: ") == 1
    assert "page 1 of 1: 13 breweries" in said
    assert len(pipeline.rows("gold_brewery_counts")) == 9
    assert pipeline.newest("gold_brewery_counts").checks[0]["passed"]
    assert (checkout.folder / ".dagster" / "storage").is_dir()


def test_an_invalid_setting_stops_the_run_before_any_work(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    checkout.environment["LAKE_URI"] = "ftp://host/lake"
    code, said = checkout.run("dg", "launch", "--job", JOB)
    assert code != 0
    last = said.strip().splitlines()[-1]
    assert last.endswith(
        "LAKE_URI=ftp://host/lake: allowed is a folder, such as lake, or s3://bucket/prefix"
    )
    assert not pipeline.api.requests


def test_a_failed_run_exits_with_an_error_that_names_the_cause_without_the_token(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    port = free_port()
    checkout.environment["SPARK_REMOTE"] = f"sc://127.0.0.1:{port}/;token=nobody-may-see"
    code, said = checkout.run("dg", "launch", "--job", JOB)
    assert code != 0
    assert f"SPARK_REMOTE=sc://127.0.0.1:{port}: no server answers there" in said
    assert "nobody-may-see" not in said
    kept = checkout.kept()
    assert b"bronze_breweries" in kept
    assert b"nobody-may-see" not in kept


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, published_lake: Path) -> tuple[Checkout, str]:
    """A checkout whose lake had a snapshot before the demo ran, and the output of the demo.

    Port 8000 is taken, and a .env points elsewhere.
    """
    checkout = Checkout(tmp_path_factory.mktemp("demo") / "checkout", {})
    shutil.copytree(published_lake, checkout.folder / "lake")
    (checkout.folder / ".env").write_text(
        f"BREWERY_API_URL=http://127.0.0.1:1/live\nLAKE_URI={checkout.folder / 'lake'}\n"
    )
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(600):  # another test's demo frees it; a developer's server keeps it
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", 8000))
                taken.listen()
                break
            time.sleep(0.1)
        code, said = checkout.run(sys.executable, "-m", "demo.run")
    assert code == 0, said
    return checkout, said


@IN_DEMO
def test_the_demo_ends_with_a_summary_on_any_port_and_adds_a_snapshot(
    demo: tuple[Checkout, str],
) -> None:
    checkout, said = demo
    assert ":8000/v1" not in said
    assert re.search(r"silver_breweries\s+11,822 rows", said)
    assert re.search(r"gold_brewery_counts\s+613 rows", said)
    assert re.search(r"United States / California\s+919\s+micro\s+5,840", said)
    assert "  247 suspicions about records of the source (docs/data-quality.md):\n" in said
    assert "84 postcode_form, 77 impossible_phone, 38 duplicate, 16 far_from_postcode" in said
    assert said.index("The page, with a map: lake/brewery_report/index.html\n") < said.index(
        "make dev"
    )
    assert "<!doctype html>" in (checkout.folder / "lake/brewery_report/index.html").read_text()
    assert len(list((checkout.folder / "lake" / "gold_brewery_counts").glob("2*"))) == 2


README = (ROOT / "README.md").read_text(encoding="utf-8")
READING, S3 = (
    (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("reading.md", "s3.md")
)
EXAMPLES = re.findall(r"```python\n(.*?)```", READING + S3, re.DOTALL)


@IN_DEMO
@pytest.mark.parametrize(
    ("example", "shown"),
    [
        ("state_name, sum(brewery_count)", r"United States │ California\s+│\s+919 "),
        ("SET VARIABLE silver", r"United States\s+│\s+8224 │\s+8224 │\s+5933 "),
        ("to_pandas", r"micro\s+5840\n"),
        ("silver.where", r"\|\s+Flanders\|\s+301\|"),
    ],
)
def test_the_examples_of_the_documentation_count_every_brewery_once(
    demo: tuple[Checkout, str], example: str, shown: str
) -> None:
    (code,) = (found for found in EXAMPLES if example in found)
    exit_code, said = demo[0].run(sys.executable, "-c", code)
    assert exit_code == 0, said
    assert re.search(shown, said), said
    assert len(EXAMPLES) == 6


@IN_DEMO
def test_each_line_of_the_readme_for_a_tool_reads_every_row(demo: tuple[Checkout, str]) -> None:
    lines = re.findall(r"^\| [\w, ]+ \| `(.*gold_brewery_counts.*?)`", README, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        if line.startswith(("deltalake", "polars")):
            # Without the normal end, in which threads of pyarrow sometimes abort the process.
            read = f"import deltalake, os, polars; print(len({line}), flush=True); os._exit(0)"
            code, said = demo[0].run(sys.executable, "-c", read)
            assert code == 0, said
            assert said.splitlines()[-1] == "613"


def shown_by(example: str, folder: Path) -> str:
    """The output of an example that runs in a folder."""
    command = [sys.executable, "-c", example]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("published")
def test_the_example_of_two_layers_reads_matching_snapshots(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (code,) = (found for found in EXAMPLES if "SET VARIABLE silver" in found)
    belgium = r"Belgium\s+│\s+2 │\s+2 │\s+2 │"
    assert re.search(belgium, shown_by(code, tmp_path))
    pipeline.api.rows[:] = GOOD[:2]
    pipeline.run("bronze_breweries", "silver_breweries", "rejected_breweries")
    assert re.search(belgium, shown_by(code, tmp_path))  # still the silver that gold was made from
    pipeline.run()
    assert "Belgium" not in shown_by(code, tmp_path)


def test_the_example_of_changes_shows_the_changes_of_every_snapshot(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (code,) = (found for found in EXAMPLES if "gold_brewery_changes" in found)

    def shown() -> str:
        return shown_by(code, tmp_path)

    pipeline.api.rows[:] = GOOD
    pipeline.run()
    assert not shown()
    del pipeline.api.rows[0]
    pipeline.run()
    pipeline.api.rows[0] = {**GOOD[1], "city": "Elsewhere"}
    pipeline.run()
    removed, changed = GOOD[:2]
    assert re.search(rf"removed.*{re.escape(removed['name'])}", shown())
    assert re.search(rf"changed.*{re.escape(changed['name'])}.*city: \S+ → Elsewhere", shown())


def test_the_documented_commands_for_s3_work_as_written(
    tmp_path: Path,
) -> None:
    checkout = Checkout(tmp_path / "checkout", {})
    (settings,) = re.findall(r"```\n(export LAKE_URI=s3://lake/.*?)\nmake demo\n```", S3, re.DOTALL)
    (example,) = (found for found in EXAMPLES if "s3://lake/breweries" in found)
    (checkout.folder / "read.py").write_text(example)
    server = checkout.start(sys.executable, "-u", "-m", "demo.s3")
    try:
        printed = ""
        while "AWS_SECRET_ACCESS_KEY" not in printed:
            line = server.stdout.readline() if server.stdout else ""
            assert line, printed
            printed += line
        (url,) = re.findall(r"AWS_ENDPOINT_URL=(\S+)", printed)
        settings = settings.replace("http://127.0.0.1:8333", url)
        assert {part for part in re.split(r"\s+|export ", settings) if part} <= set(printed.split())
        code, said = checkout.run("bash", "-c", f"{settings}\npython -m demo.run && python read.py")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=180)
    assert code == 0, said
    assert re.search(r"gold_brewery_counts\s+613 rows .* s3://lake/breweries/gold", said), said
    assert re.search(r"United States\s+│\s+8224 ", said), said
    assert server.returncode == 0


@pytest.mark.usefixtures("published")
def test_the_documented_command_rebuilds_silver_from_an_older_bronze(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    oldest = pipeline.newest("bronze_breweries").snapshot
    pipeline.run("bronze_breweries")
    (command,) = re.findall(r"dagster asset materialize -m .*?\}\}\}\}'", READING, re.DOTALL)
    command = command.replace("20261122T101500Z-1a2b3c4d", oldest)
    code, said = checkout.run("bash", "-c", command)
    assert code == 0, said
    assert pipeline.newest("silver_breweries").made_from == {"bronze_breweries": oldest}
    assert pipeline.newest("bronze_breweries").snapshot != oldest


def test_make_help_lists_every_target() -> None:
    said = os.popen(f"make -s -C {ROOT} help").read()  # noqa: S605
    listed = re.findall(r"^  (\S+)\s+\S", said, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(listed) == sorted(phony[1].split())
    assert {"demo", "run_test", "test", "run_pipeline", "dev", "lint"} <= set(listed)
