"""The stack, from `make build` to `make stop_environment`, on real containers that are killed.

`make run_test_stack` runs these tests. They need a container engine.
"""

import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brewery_assets.lake.manifest import Manifest
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.report.asset import REPORT
from brewery_assets_tests.browser import chromium
from brewery_assets_tests.checkout import JOB
from brewery_assets_tests.conftest import LAYERS
from brewery_assets_tests.stack import FEW, SERVICES, Stack, require_engine
from brewery_assets_tests.test_ui import AUTOMATIONS, KINDS, ROWS
from brewery_assets_tests.ui import DagsterUi
from demo.data import Row

pytestmark = pytest.mark.stack

LAKE = "breweries"
BEFORE_SILVER = "bronze_breweries "  # the line of the previous layer
# The error of a run that a killed service made fail. Other services cannot make it fail.
FAILS_WITH = {
    "s3": r"s3://lake/breweries/\S+ could not be|http://s3:8333",
    "postgres": r'connection to server at "postgres"',
    "spark": "the Spark Connect server was restarted, and this run's session is lost",
    "code": "the process of this run is gone",
}
VOLUMES = {
    "s3": "s3",
    "postgres": "postgres",
    "spark-master": "spark",
    "spark-worker": "scratch",
    "spark": "scratch",
}
NOBODY = "http://demo:8000/v2"
ACCEPTED = (
    "row_count_is_plausible",
    "columns_are_as_full_as_before",
    "countries_and_types_are_still_there",
)
FEW_ROWS = (f"BREWERY_API_URL={FEW}", f"ACCEPT_CHECKS={','.join(ACCEPTED)}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, built and started."""
    require_engine()
    stack = Stack(tmp_path_factory.mktemp("stack") / "checkout")
    try:
        for target in ("build", "start_environment"):
            stack.made(target)
        yield stack
    finally:
        volumes = stack.volumes()
        stack.made("stop_environment", "YES=1")
        assert not stack.left(volumes)


def published(objects: dict[str, int], layer: str) -> list[str]:
    """The published snapshots of a layer, oldest first."""
    found = re.findall(
        rf"^{LAKE}/{layer}/([^/]+)/_manifest\.json$", "\n".join(objects), re.MULTILINE
    )
    return sorted(found)


def manifest(stack: Stack, layer: str, snapshot: str) -> Manifest:
    key = f"{LAKE}/{layer}/{snapshot}/_manifest.json"
    body = stack.client().get_object(Bucket="lake", Key=key)["Body"]
    return Manifest.model_validate_json(body.read())


def of_published(stack: Stack) -> dict[str, int]:
    """All objects of published snapshots with their sizes, which must match the manifests."""
    objects = stack.objects()
    found: dict[str, int] = {}
    for layer in (*LAYERS, REPORT):
        for snapshot in published(objects, layer):
            folder = f"{LAKE}/{layer}/{snapshot}"
            files = {
                f"{folder}/{file.path}": file.bytes
                for file in manifest(stack, layer, snapshot).files
            }
            assert files.items() <= objects.items()
            found |= {**files, f"{folder}/_manifest.json": objects[f"{folder}/_manifest.json"]}
    return found


def test_the_secrets_are_random_created_once_and_readable_only_by_the_owner(stack: Stack) -> None:
    file = stack.folder / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = file.read_text()
    assert made.startswith((stack.folder / ".env.example").read_text())
    secrets = [text for name, text in stack.settings().items() if name.startswith("STACK_")]
    assert len({*secrets}) == 3
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in secrets)
    stack.made("build")
    assert file.read_text() == made


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_runs_with_minimal_privileges(stack: Stack, service: str) -> None:
    found = stack.containers()[service]
    config, host = found["Config"], found["HostConfig"]
    image, _, tag = config["Image"].partition(":")
    assert image in ("postgres", *(f"brewery-assets-{name}" for name in ("dagster", "spark", "s3")))
    assert re.match(r"\d+\.\d+", tag)
    assert config["User"] not in ("", "0", "root")
    assert config["Healthcheck"]["Test"]
    assert found["State"]["Health"]["Status"] == "healthy"
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Init"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] > 0
    assert not host["Privileged"]
    published = [at["HostIp"] for ports in (host["PortBindings"] or {}).values() for at in ports]
    assert published == (["127.0.0.1"] if service in ("webserver", "s3") else [])
    kept = {mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"}
    assert kept == ({f"{stack.project}_{VOLUMES[service]}"} if service in VOLUMES else set())


def test_no_image_contains_a_secret(stack: Stack) -> None:
    secrets = [text for name, text in stack.settings().items() if name.startswith("STACK_")]
    for found in stack.containers().values():
        image = stack.docker("image", "inspect", found["Image"])
        layers = stack.docker("image", "history", "--no-trunc", found["Image"])
        assert not [secret for secret in secrets if secret in image + layers]


def test_the_pipeline_in_the_stack_fills_the_bucket_and_the_report_follows(
    stack: Stack, real_rows: list[Row]
) -> None:
    said = stack.made("start_pipeline")
    assert "In the stack:" in said
    assert "daily_pipeline is on\ngold_updated is on\nalerts is on\n" in said
    assert "not running" not in said
    said = stack.made("run_pipeline")
    assert "In the stack:" in said
    assert "page 60 of 60: 11,822 breweries" in said
    assert re.search(r"gold_brewery_counts +613 rows .* s3://lake/breweries/", said)
    assert re.search(rf"Run [0-9a-f]{{8}} succeeded: {stack.address}/runs/", said)
    objects = stack.objects()
    newest = published(objects, "gold_brewery_counts")[-1]
    for layer, rows, least in (
        ("bronze_breweries", 11_822, 1),
        ("silver_breweries", 11_822, 200),
        ("gold_brewery_counts", 613, 1),
    ):
        found = manifest(stack, layer, newest)
        assert found.rows == rows
        assert len(found.files) >= least
    of_published(stack)
    counted = counts(stack, newest)
    assert sum(counted.values()) == 11_822
    assert counted == Counter(row["brewery_type"] for row in real_rows)
    assert any(key.startswith("compute_logs/") for key in objects)
    stack.wait_for(lambda: f"{LAKE}/brewery_report/index.html" in stack.objects())
    stack.wait_for(lambda: report_of(stack) == newest)
    said = stack.made("status")
    assert "Daemon: running\n" in said
    assert re.search(r"gold_brewery_counts +613 rows .* ago", said)
    assert re.search(rf"{JOB} +success", said)
    said = stack.made("stop_pipeline")
    assert "daily_pipeline is off\ngold_updated is off\nalerts is off\n" in said


def counts(stack: Stack, snapshot: str) -> Counter[str]:
    """The number of breweries of each type in a published gold snapshot."""
    found: Counter[str] = Counter()
    for file in manifest(stack, GOLD.name, snapshot).files:
        key = f"{LAKE}/{GOLD.name}/{snapshot}/{file.path}"
        body = stack.client().get_object(Bucket="lake", Key=key)["Body"].read()
        for row in pq.read_table(pa.BufferReader(body)).to_pylist():
            found[row["brewery_type"]] += row["brewery_count"]
    return found


def report_of(stack: Stack) -> str | None:
    """The gold snapshot that the newest report was made from."""
    reports = published(stack.objects(), REPORT)
    if not reports:
        return None
    return manifest(stack, REPORT, reports[-1]).made_from["gold_brewery_counts"]


def test_the_ui_of_the_stack_materializes_all_assets_and_shows_the_results(stack: Stack) -> None:
    with chromium() as browser:
        ui = DagsterUi(browser, stack.address)
        assert ui.lineage().keys() == KINDS.keys()
        assert ui.outcome(ui.materialize_all()) == "Success"
        for layer in ("bronze_breweries", SILVER.name, GOLD.name, REPORT):
            assert ui.row_count(layer) == ROWS[layer]
        assert {*ui.checks(GOLD.name).values()} == {"Succeeded"}
        assert ui.automations().keys() == AUTOMATIONS
        ui.close()
        assert not ui.errors


def test_the_report_and_the_data_docs_are_built_in_the_stack(stack: Stack) -> None:
    if not published(stack.objects(), GOLD.name):
        stack.made("run_pipeline", *FEW_ROWS)
    before = published(stack.objects(), REPORT)
    assert "s3://lake/breweries/brewery_report/index.html\n" in stack.made("publish_report")
    assert published(stack.objects(), REPORT)[:-1] == before
    assert "In the stack:" in stack.made("audit_silver")
    assert f"{LAKE}/data_docs/silver_breweries/index.html" in stack.objects()


def test_an_invalid_setting_stops_the_start_before_any_work(stack: Stack) -> None:
    code, said = stack.make("start_environment", "PIPELINE_CRON=often")
    assert code != 0
    assert "PIPELINE_CRON=often: allowed is a cron expression, such as 0 6 * * *\n" in said
    assert {one["State"]["Health"]["Status"] for one in stack.containers().values()} == {"healthy"}


def test_alert_test_runs_in_the_stack(stack: Stack) -> None:
    code, said = stack.make("alert_test", "ALERT_URLS=json://s3:8333/")
    assert "In the stack:" in said
    assert code != 0
    assert re.search(r"1\. json://\S+: did not arrive: .*40[0-9]", said), said


def test_a_failing_source_ends_the_command_with_an_error_that_names_the_cause(stack: Stack) -> None:
    before = of_published(stack)
    code, said = stack.make("run_pipeline", f"BREWERY_API_URL={NOBODY}")
    assert code != 0
    assert re.search(rf"Cause +GET {NOBODY}/breweries\S* answered 404", said), said
    assert re.search(r"Run [0-9a-f]{8} failed: ", said)
    assert of_published(stack) == before


def test_make_run_pipeline_can_accept_failed_checks_for_one_run(stack: Stack) -> None:
    bronze = published(stack.objects(), "bronze_breweries")
    if not bronze or manifest(stack, "bronze_breweries", bronze[-1]).rows < 11_822:
        stack.made("run_pipeline")
    code, said = stack.make("run_pipeline", f"BREWERY_API_URL={FEW}")
    assert code != 0
    assert "bronze_breweries is not published: a check blocks it." in said
    assert "ACCEPT_CHECKS=row_count_is_plausible make run_pipeline" in said
    before = published(stack.objects(), "gold_brewery_counts")
    stack.made("run_pipeline", *FEW_ROWS)
    after = published(stack.objects(), "gold_brewery_counts")
    assert after[:-1] == before
    few = manifest(stack, "bronze_breweries", after[-1])
    assert few.rows == 300
    assert few.check("row_count_is_plausible")["accepted_by"] in FEW_ROWS[1] + ACCEPTED[0]


# Each service that can make a run fail, and the services to kill during the next run.
KILLED = [
    ("s3", ("daemon", "webserver")),
    ("postgres", ("spark-master",)),
    ("spark", ("spark-worker",)),
    ("code", ()),
]


def run_and_kill(stack: Stack, services: Sequence[str]) -> tuple[int, str]:
    """Runs the pipeline, kills the services while it makes silver; its exit code and output."""
    process = stack.start("make", "--no-print-directory", "run_pipeline", *FEW_ROWS)
    heard = stack.until(process, BEFORE_SILVER)
    restarts = {name: stack.containers()[name]["RestartCount"] for name in services}
    for name in services:
        stack.crash(name)
    code, said = stack.ended(process)
    for name in services:
        stack.wait_until_back(name, restarts[name])
    said = heard + said
    assert re.search(r"^Run [0-9a-f]{8} (succeeded|failed): ", said, re.MULTILINE), said
    assert (code == 0) == ("succeeded: " in said)
    return code, said


def test_every_service_is_killed_in_one_of_these_runs() -> None:
    assert {name for service, others in KILLED for name in (service, *others)} == {*SERVICES}
    assert {service for service, _ in KILLED} == FAILS_WITH.keys()


@pytest.mark.parametrize(("service", "others"), KILLED, ids=[service for service, _ in KILLED])
def test_a_run_survives_a_killed_service_or_fails_clearly_and_the_next_run_succeeds(
    stack: Stack, service: str, others: Sequence[str]
) -> None:
    lake, runs = of_published(stack), stack.runs()
    code, said = run_and_kill(stack, [service])
    if code:
        last = said.rpartition("; trying again")[2]
        assert re.search(FAILS_WITH[service], last), said

    code, said = run_and_kill(stack, others)
    assert code == 0, said
    assert lake.items() <= of_published(stack).items()
    assert runs.items() <= stack.runs().items()
    assert not {"STARTED", "STARTING", "QUEUED"} & {*stack.runs().values()}


def test_workers_can_be_added_and_removed(stack: Stack) -> None:
    stack.made("start_environment", "STACK_SPARK_WORKERS=2")
    try:
        stack.wait_for(lambda: stack.logs("spark-master").count("Registering worker") >= 2)
        stack.made("run_pipeline", *FEW_ROWS)
    finally:
        stack.made("start_environment")


def test_the_lake_and_the_runs_survive_a_stop_and_a_start(stack: Stack) -> None:
    lake, runs = of_published(stack), stack.runs()
    volumes = stack.volumes()
    said = stack.made("stop_environment")
    assert "Its data stays: make stop_environment YES=1 deletes it" in said
    assert stack.left(volumes) == {f"{stack.project}_{name}" for name in VOLUMES.values()}
    assert not stack.containers()
    assert "The stack is down" in stack.made("stop_environment")
    said = stack.made("start_environment")
    assert f"Dagster   {stack.address}\n" in said
    assert f"Dagster   {stack.address}\n" in stack.made("start_environment")
    assert of_published(stack) == lake
    assert runs.items() <= stack.runs().items()
