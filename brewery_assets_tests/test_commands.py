"""Every way of running the pipeline that the README names, typed as a person would."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import JOB, ROOT, Checkout
from brewery_assets_tests.conftest import Pipeline
from brewery_assets_tests.dagster_ui import DAGSTER, ask, dagster_dev, materialize_all
from brewery_assets_tests.scenario import GOOD
from demo.faults import Faults

MODULE = ("-m", "brewery_assets.definitions")


@pytest.fixture
def checkout(pipeline: Pipeline, tmp_path: Path) -> Checkout:
    return Checkout(
        tmp_path / "checkout", {"BREWERY_API_URL": pipeline.api.url, "LAKE_URI": pipeline.uri}
    )


@pytest.mark.parametrize(
    "command",
    [
        (*DAGSTER, "job", "execute", "-j", JOB, *MODULE),
        (*DAGSTER, "asset", "materialize", "--select", "*", *MODULE),
        ("dg", "launch", "--assets", "*"),
        ("dg", "launch", "--job", JOB),
    ],
)
def test_each_command_runs_the_same_pipeline(
    pipeline: Pipeline, checkout: Checkout, command: tuple[str, ...]
) -> None:
    code, said = checkout.run(*command)
    assert code == 0, said
    assert said.count("Spark engine: ") == 1
    assert "page 1 of 1: 13 breweries" in said
    assert len(pipeline.rows("gold_brewery_counts")) == 9
    assert pipeline.newest("gold_brewery_counts").checks[0]["passed"]
    assert (checkout.folder / ".dagster" / "storage").is_dir()


def test_a_failing_run_says_why_and_exits_with_an_error(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    pipeline.api.faults = Faults(always_status=403)
    code, said = checkout.run("dg", "launch", "--job", JOB)
    assert code != 0
    assert f"SourceError: GET {pipeline.api.url}/breweries?per_page=200" in said or (
        f"RefusedError: GET {pipeline.api.url}/breweries?per_page=200" in said
    )
    assert "answered 403" in said


def test_a_bad_setting_stops_before_any_work(pipeline: Pipeline, checkout: Checkout) -> None:
    checkout.environment["LAKE_URI"] = "ftp://host/lake"
    code, said = checkout.run("dg", "launch", "--job", JOB)
    assert code != 0
    last = said.strip().splitlines()[-1]
    assert last.endswith(
        "LAKE_URI=ftp://host/lake: allowed is a folder, such as lake, or s3://bucket/prefix"
    )
    assert not pipeline.api.requests


def test_the_token_of_a_spark_server_is_neither_said_nor_kept(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    checkout.environment["SPARK_REMOTE"] = f"sc://127.0.0.1:{port}/;token=nobody-may-see"
    code, said = checkout.run("dg", "launch", "--job", JOB)
    assert code != 0
    assert f"SPARK_REMOTE=sc://127.0.0.1:{port}: nobody answers there" in said
    assert "nobody-may-see" not in said
    kept = checkout.kept()
    assert b"bronze_breweries" in kept
    assert b"nobody-may-see" not in kept


def test_a_dotenv_file_is_read(pipeline: Pipeline, checkout: Checkout) -> None:
    del checkout.environment["LAKE_URI"]
    (checkout.folder / ".env").write_text(f"LAKE_URI={pipeline.uri}\nSPARK_REMOTE=\n")
    code, said = checkout.run(*checkout.job())
    assert code == 0, said
    assert pipeline.newest("gold_brewery_counts").rows == 9


ASSETS = """{ assetNodes {
  assetKey { path } groupName kinds description owners { ... on TeamAssetOwner { team } }
  dependencyKeys { path }
} }"""


def test_the_ui_shows_the_lineage_and_materializes_it_all(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    with dagster_dev(checkout) as ui:
        look_at_the_lineage(ui)
        assert materialize_all(ui, wait=90) == "SUCCESS", (checkout.folder / "dev.log").read_text()
    assert len(pipeline.rows("gold_brewery_counts")) == 9


def test_a_run_that_was_killed_does_not_block_the_ui_for_ever(
    pipeline: Pipeline, checkout: Checkout
) -> None:
    settings = (ROOT / "dagster.yaml").read_text()
    (checkout.folder / "dagster.yaml").unlink()
    (checkout.folder / "dagster.yaml").write_text(
        settings.replace(
            "max_runtime_seconds: 1800", "max_runtime_seconds: 20\n  poll_interval_seconds: 2"
        )
    )
    pipeline.api.faults = Faults(hanging=1.0)
    process = checkout.start(*checkout.job())
    until = time.monotonic() + 60
    while not pipeline.api.requests:  # it runs
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    pipeline.api.faults = Faults()
    with dagster_dev(checkout) as ui:
        assert materialize_all(ui, wait=90) == "SUCCESS", (checkout.folder / "dev.log").read_text()


def look_at_the_lineage(ui: str) -> None:
    nodes = {node["assetKey"]["path"][0]: node for node in ask(ui, ASSETS)["assetNodes"]}
    origins = {
        name: sorted(key["path"][0] for key in n["dependencyKeys"]) for name, n in nodes.items()
    }
    assert origins == {
        "bronze_breweries": [],
        "silver_breweries": ["bronze_breweries"],
        "rejected_breweries": ["bronze_breweries"],
        "gold_brewery_counts": ["silver_breweries"],
        "gold_brewery_changes": ["silver_breweries"],
        "brewery_report": ["gold_brewery_changes", "gold_brewery_counts", "silver_breweries"],
    }
    for name, node in nodes.items():
        assert node["groupName"] == ("reports" if name == "brewery_report" else "breweries")
        assert node["kinds"]
        assert node["description"].startswith("One ")
        assert node["owners"] == [{"team": "data-engineering"}]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, str]:
    """A checkout after the demo has run in it twice, and what it said the second time.

    Port 8000 is taken, and a .env points elsewhere.
    """
    checkout = Checkout(tmp_path_factory.mktemp("demo") / "checkout", {})
    (checkout.folder / ".env").write_text(
        f"BREWERY_API_URL=http://127.0.0.1:1/live\nLAKE_URI={checkout.folder / 'lake'}\n"
    )
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken by somebody else: as good
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        for _ in range(2):
            code, said = checkout.run(sys.executable, "-m", "demo.run")
            assert code == 0, said
    return checkout, said


def test_the_demo_ends_with_a_summary_twice_in_a_row_and_on_any_port(
    demo: tuple[Checkout, str],
) -> None:
    checkout, said = demo
    assert ":8000/v1" not in said
    assert re.search(r"silver_breweries\s+11,822 rows", said)
    assert re.search(r"gold_brewery_counts\s+613 rows", said)
    assert re.search(r"United States / California\s+919\s+micro\s+5,840", said)
    assert "make dev" in said
    assert len(list((checkout.folder / "lake" / "gold_brewery_counts").iterdir())) == 2


README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    ("example", "shown"),
    [
        ("SET VARIABLE", r"United States │ California\s+│\s+919 "),
        ("pandas.concat", r"micro\s+5840\n"),
        ("silver.where", r"\|\s+Flanders\|\s+301\|"),
    ],
)
def test_the_examples_of_the_readme_count_every_brewery_once(
    demo: tuple[Checkout, str], example: str, shown: str
) -> None:
    (code,) = (found for found in EXAMPLES if example in found)
    exit_code, said = demo[0].run(sys.executable, "-c", code)
    assert exit_code == 0, said
    assert re.search(shown, said), said
    assert len(EXAMPLES) == 5


def test_the_readmes_example_of_changes_shows_those_of_every_snapshot(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (code,) = (found for found in EXAMPLES if "gold_brewery_changes" in found)

    def shown() -> str:
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return said.stdout

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


def test_the_readmes_commands_for_s3_work_as_they_are_written(
    tmp_path: Path,
) -> None:
    checkout = Checkout(tmp_path / "checkout", {})
    (settings,) = re.findall(
        r"```\n(export LAKE_URI=s3://lake/.*?)\nmake demo\n```", README, re.DOTALL
    )
    (example,) = (found for found in EXAMPLES if "S3FileSystem" in found)
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
        server.communicate(timeout=20)
    assert code == 0, said
    assert re.search(r"gold_brewery_counts\s+613 rows .* s3://lake/breweries/gold", said), said
    assert re.search(r"United States\s+│\s+8224 ", said), said
    assert server.returncode == 0


def test_an_older_bronze_is_refined_again_by_the_readmes_command(
    demo: tuple[Checkout, str],
) -> None:
    checkout, _ = demo
    folder = checkout.folder / "lake"
    oldest = min(path.name for path in (folder / "bronze_breweries").iterdir())
    (command,) = re.findall(r"dagster asset materialize -m .*?\}\}\}\}'", README, re.DOTALL)
    command = command.replace("20261122T101500Z-1a2b3c4d", oldest.removeprefix("snapshot="))
    code, said = checkout.run("bash", "-c", command)
    assert code == 0, said
    newest = max((folder / "silver_breweries").iterdir()) / "_manifest.json"
    made_from = json.loads(newest.read_text())["made_from"]
    assert made_from == {"bronze_breweries": oldest.removeprefix("snapshot=")}


def test_make_help_lists_every_target() -> None:
    said = os.popen(f"make -s -C {ROOT} help").read()  # noqa: S605
    listed = re.findall(r"^  (\S+)\s+\S", said, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(listed) == sorted(phony[1].split())
    assert {"demo", "run_test", "test", "run_pipeline", "dev", "lint"} <= set(listed)
