"""The campaign itself: its verdicts find damage, and its proxy makes trouble."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from brewery_assets.lake.lake import MANIFEST
from brewery_assets_tests.checkout import ROOT
from brewery_assets_tests.conftest import Pipeline
from demo.s3 import OWNER, REGION, S3Server
from torture.storage import Trouble, proxy
from torture.together import Watch
from torture.verdict import columns_lost, faults_of, ids_in, published
from torture.world import World


@pytest.fixture
def world(pipeline: Pipeline, published: None, tmp_path: Path) -> World:
    """A world whose lake has a good snapshot of scenario.py's rows."""
    world = World(tmp_path / "world", pipeline.api, pipeline.uri, {})
    world.temporary.mkdir(parents=True)
    return world


def faults(world: World, *states: frozenset[str]) -> list[str]:
    """The faults of a world, compared with its state at the time of the call of `published`."""
    return list(faults_of(world, published(world.lake), states or [ids_in(world.lake)]))


def newest(world: World, layer: str) -> Path:
    manifest = world.lake.newest(layer)
    assert manifest
    return Path(world.uri) / manifest.folder


def test_a_good_lake_has_no_faults(world: World) -> None:
    assert faults(world) == []
    assert list(columns_lost(world)) == []
    assert world.left_behind() == []


def test_a_snapshot_that_is_no_longer_published_is_a_fault(world: World) -> None:
    before, states = published(world.lake), [ids_in(world.lake)]
    gold = newest(world, "gold_brewery_changes")
    (gold / MANIFEST).unlink()
    (found,) = faults_of(world, before, states)
    assert found == f"gold_brewery_changes lost the published {gold.name}"


def test_a_changed_file_is_a_fault(world: World) -> None:
    file = next(newest(world, "silver_breweries").rglob("*.parquet"))
    states = ids_in(world.lake)
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(bytes(content))
    (found,) = faults(world, states)
    assert "DAMAGED" in found
    assert file.name in found


def test_silver_with_other_ids_is_a_fault(world: World) -> None:
    (found,) = faults(world, frozenset({"another"}))
    assert found.startswith(f"silver has {len(ids_in(world.lake))} ids that are none of")


def test_a_column_that_lost_its_values_is_a_fault(pipeline: Pipeline, world: World) -> None:
    for row in pipeline.api.rows:
        row["city"] = None
    pipeline.run()  # its limits are off
    (found,) = columns_lost(world)
    assert found.startswith("silver was published although city is filled less: from ")


def test_a_process_and_a_file_that_a_run_leaves_are_faults(world: World) -> None:
    (world.temporary / "frames").mkdir()
    wait = "import time; print(flush=True); time.sleep(600)"
    environment = {"TMPDIR": str(world.temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", wait], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        running, temporary = world.left_behind()
        process.kill()
    assert running.startswith("process ")
    assert temporary == "temporary frames"


def test_a_reader_that_sees_an_unexpected_state_is_a_fault(world: World) -> None:
    watch = Watch(world)
    watch.states = {frozenset({"another"})}
    with watch:
        for thread in watch.threads:
            thread.join()
    assert len(watch.faults) == len(watch.threads)
    assert "_with_polars saw" in " ".join(watch.faults)


@pytest.fixture
def trouble(request: pytest.FixtureRequest, s3: S3Server) -> Iterator[str]:
    """The address of a proxy with this trouble."""
    with proxy(s3, request.param, Random(1)) as address:
        yield address


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble(slow_down=1), "SlowDown"),
        (Trouble(writes_allowed=2), "AccessDenied"),
        (Trouble(), None),
    ],
    indirect=["trouble"],
)
def test_the_proxy_makes_the_trouble_that_it_should(
    trouble: str, s3: S3Server, prefix: str, code: str | None
) -> None:
    client = s3.client()
    once = Config(retries={"total_max_attempts": 1})
    key, secret = OWNER
    through = boto3.client(
        "s3",
        endpoint_url=trouble,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=once,
    )
    said = None
    try:
        for number in range(3):
            through.put_object(Bucket="lake", Key=f"{prefix}/{number}", Body=b"rows")
    except ClientError as error:
        said = error.response["Error"]["Code"]
    assert said == code
    found = client.list_objects_v2(Bucket="lake", Prefix=f"{prefix}/").get("Contents", [])
    assert len(found) == {"SlowDown": 0, "AccessDenied": 2}.get(code or "", 3)


@pytest.mark.slow("whole runs in separate processes")
def test_a_trial_ends_with_a_table_and_an_exit_code(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "torture", "--minutes", "0.01", "--only", "drafts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3,000 leftover drafts: published" in ended.stdout
    assert "\n| drafts | 1 | 1 published | 0 |\n" in ended.stdout
