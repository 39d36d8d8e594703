"""Invalid settings are refused before any work, in one sentence that says what is allowed."""

import pytest

from brewery_assets.settings import Settings, SettingsError

ENGINES = "allowed is local[*], sc://host:15002, or nothing for the embedded engine"

S3 = "allowed is a folder, such as lake, or s3://bucket/prefix"
ELSE = "in a path has a special meaning for engines: rename it"
EMPTY = "an empty part, . or .. in a prefix has a special meaning for engines"


@pytest.mark.parametrize(
    "value", ["local", "local[2]", "local[*]", "sc://spark", "sc://[::1]:1/;x=y"]
)
def test_every_form_of_engine_address_is_accepted(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", value)
    assert Settings.from_environment().spark_remote == value


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "BREWERY_API_URL",
            "api.openbrewerydb.org",
            "allowed is a web address, such as https://api.openbrewerydb.org/v1",
        ),
        ("LAKE_URI", "ftp://host/lake", "allowed is a folder, such as lake, or s3://bucket/prefix"),
        ("LAKE_URI", "s3://", S3),
        ("LAKE_URI", "s3:///lake", S3),
        ("LAKE_URI", "s3://Bucket/lake", S3),
        ("LAKE_URI", "s3a://bucket/lake", S3),
        (
            "LAKE_URI",
            "s3://bucket/100%",
            f"% {ELSE}",
        ),
        ("LAKE_URI", "s3://bucket/a#b", f"# {ELSE}"),
        ("LAKE_URI", "s3://bucket/a//b", EMPTY),
        ("LAKE_URI", "s3://bucket/../b", EMPTY),
        ("AWS_REGION", "Frankfurt am Main", "allowed is a value such as eu-central-1"),
        ("EMR_SERVERLESS_APPLICATION_ID", "My app", "allowed is a value such as 00f1abc2def3"),
        (
            "EMR_EXECUTION_ROLE_ARN",
            "brewery-emr",
            "allowed is a value such as arn:aws:iam::123456789012:role/brewery-emr",
        ),
        ("LAKE_URI", "100%", f"% {ELSE}"),
        ("LAKE_URI", "a*b[1]", "* [ ] in a path has a special meaning for engines: rename it"),
        ("LAKE_URI", "a\\b", r"\\ in a path has a special meaning for engines: rename it"),
        ("SPARK_REMOTE", "yarn", ENGINES),
        ("SPARK_REMOTE", "localhost:15002", ENGINES),
        ("SPARK_REMOTE", "sc://", ENGINES),
        ("SNAPSHOTS_KEPT", "-1", "allowed is a whole number, 1 or more"),
        ("SNAPSHOTS_KEPT", "0", "allowed is a whole number, 1 or more"),
        ("SNAPSHOTS_KEPT", "many", "allowed is a whole number, 1 or more"),
        ("ROWS_LOST_PERCENT", "101", "allowed is a whole number, 0 to 100"),
        ("ROWS_LOST_PERCENT", "10%", "allowed is a whole number, 0 to 100"),
        ("REJECTED_PERCENT", "-5", "allowed is a whole number, 0 to 100"),
        ("FILLED_LOST_PERCENT", "ten", "allowed is a whole number, 0 to 100"),
        (
            "ACCEPT_CHECKS",
            "Row count",
            "allowed is a value such as row_count_is_plausible,rejections_are_few",
        ),
        ("MISSING_ROWS_ALLOWED", "1.5", "allowed is a whole number, 0 or more"),
        ("PIPELINE_CRON", "at six", "allowed is a cron expression, such as 0 6 * * *"),
        ("PIPELINE_TIMEZONE", "Kärnten", "allowed is a time zone, such as UTC or Europe/Vienna"),
        (
            "DAGSTER_WEBSERVER_URL",
            "dagster.example.org",
            "allowed is a web address, such as https://api.openbrewerydb.org/v1",
        ),
    ],
)
def test_an_invalid_value_is_refused_with_its_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment()
    assert str(refused.value) == f"{name}={value}: {sentence}"


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket-1/lake/", "s3://my.bucket-1/lake"),
        ("s3://bucket//a b/c//", "s3://bucket/a b/c"),
    ],
)
def test_unnecessary_slashes_are_removed_from_an_s3_uri(
    monkeypatch: pytest.MonkeyPatch, value: str, taken: str
) -> None:
    monkeypatch.setenv("LAKE_URI", value)
    settings = Settings.from_environment()
    assert settings.lake_uri == taken
    assert settings.lake_on_s3


@pytest.mark.parametrize(
    "value",
    ["sc://host;token=X", "sc:/host/;token=X", "sc://user:X@host", "sc://h/?token=X", "sc://h:1/X"],
)
def test_the_token_of_a_refused_address_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", value)
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment()
    assert "X" not in str(refused.value) or value == "sc://h:1/X"
    assert ENGINES in str(refused.value)


def test_the_defaults_are_the_live_api_a_folder_and_the_embedded_engine() -> None:
    settings = Settings.from_environment()
    assert settings.brewery_api_url == "https://api.openbrewerydb.org/v1"
    assert settings.lake_uri == "lake"
    assert settings.spark_remote is None
    assert settings.snapshots_kept == 30
    assert settings.missing_rows_allowed == 0


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "")
    monkeypatch.setenv("SNAPSHOTS_KEPT", "")
    assert Settings.from_environment().spark_remote is None
    assert Settings.from_environment().snapshots_kept == 30


def test_a_slash_at_the_end_of_the_api_url_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREWERY_API_URL", "http://127.0.0.1:8000/v1/")
    assert Settings.from_environment().brewery_api_url == "http://127.0.0.1:8000/v1"
