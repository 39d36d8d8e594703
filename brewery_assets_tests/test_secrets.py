"""No secret in a URL survives in what the project stores, logs, prints or sends."""

import base64
import json
import logging
import traceback
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
from botocore.exceptions import EndpointConnectionError
from pysail.spark import SparkConnectServer

from brewery_assets.automation.alerts import Alerts
from brewery_assets.automation.delivery import deliver
from brewery_assets.aws import why
from brewery_assets.definitions import ASSETS, resources_of
from brewery_assets.operations.launch import config_of
from brewery_assets.redaction import Address, holds_secret, redacted, redacted_text
from brewery_assets.settings import Settings, SettingsError
from brewery_assets.source.http import SourceError
from brewery_assets_tests.checkout import JOB, Checkout, contents
from brewery_assets_tests.mail import SECRET, TOKEN, WebHook
from brewery_assets_tests.scripted_api import Asked, Reply, ScriptedApi, read, some
from demo.faults import Faults
from demo.s3 import free_port
from demo.server import DemoApi

PASSWORD, KEY, SPARK_TOKEN = "the/word@of joe", "a-key-of-joe", "a-token-of-joe"
ENCODED = "the%2Fword%40of%20joe"
BASIC = base64.b64encode(f"joe:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, ENCODED, "of+joe", KEY, SPARK_TOKEN, BASIC, SECRET, TOKEN)


def with_secrets(url: str) -> str:
    """A URL with a user, a password and a key."""
    return url.replace("://", f"://joe:{ENCODED}@") + f"?api_key={KEY}"


def found_in(text: str | bytes) -> list[str]:
    """The secrets that a text contains. JSON escapes none of their characters but a slash."""
    content = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in content]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://joe:pw@host:80/v1", "http://host:80/v1"),
        ("http://token@host/v1", "http://host/v1"),
        ("http://joe:p/w?x@y@host/v1", "http://host/v1"),
        ("joe:pw@host/v1", "host/v1"),
        ("sc://host:15002/;user_id=joe;token=pw", "sc://host:15002/;user_id=joe;token=…"),
        ("http://host/v1?page=2&api_key=pw&sort=id", "http://host/v1?page=2&api_key=…&sort=id"),
        ("s3://bucket/x?X-Amz-Signature=pw", "s3://bucket/x?X-Amz-Signature=…"),
        ("https://host/v1?sig=pw&design=blue", "https://host/v1?sig=…&design=blue"),
        ("/home/joe@work/lake", "/home/joe@work/lake"),
        ("https://api.openbrewerydb.org/v1", "https://api.openbrewerydb.org/v1"),
        ("sc://[::1]:15002/;use_ssl=true", "sc://[::1]:15002/;use_ssl=true"),
    ],
)
def test_a_url_is_shown_without_user_info_and_secret_values(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert holds_secret(url) is (url != shown)


def test_every_url_in_a_text_is_redacted() -> None:
    said = (
        "GET https://joe:pw@a/v1?token=pw failed (HTTPConnectionPool(host='b'): url: "
        "/v1/breweries?per_page=200&access_token=pw (Caused by 'joe@b'), see http://c/@d"
    )
    assert redacted_text(said) == (
        "GET https://a/v1?token=… failed (HTTPConnectionPool(host='b'): url: "
        "/v1/breweries?per_page=200&access_token=… (Caused by 'joe@b'), see http://c/@d"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("BREWERY_API_URL", "DAGSTER_WEBSERVER_URL")
            for value in (
                f"ftp://joe:{PASSWORD}@h/v1",
                f"http:/joe:{PASSWORD}@h/v1",
                f"joe:{PASSWORD}@h/v1",
                f"http://joe:{PASSWORD}@h/v1",  # the / in the password ends the host
                f"http://h:port/v1?api_key={KEY}",
            )
        ),
        ("LAKE_URI", f"s3://joe:{ENCODED}@bucket/prefix"),
        ("LAKE_URI", f"s3://bucket/prefix?secret_key={KEY}"),
        ("AWS_ENDPOINT_URL", f"http://joe:{PASSWORD}@h:9000"),
        ("AWS_ENDPOINT_URL", f"http://h:9000?secret={KEY}"),
        ("SPARK_REMOTE", f"sc://joe:{ENCODED}@h"),
        ("SPARK_REMOTE", f"https://h/;token={SPARK_TOKEN}"),
        ("ALERT_URLS", f"jsn://hook:{SECRET}@h/{TOKEN}"),
        ("ALERT_URLS", f"json://h {TOKEN}:{SECRET}@h"),
    ],
)
def test_a_refused_setting_is_shown_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment()
    assert str(refused.value).startswith(f"{name}=")
    assert not found_in("".join(traceback.format_exception(refused.value)))


def test_user_info_is_removed_from_the_webserver_url() -> None:
    settings = Settings(dagster_webserver_url=f"https://joe:{ENCODED}@dagster.example.org/")
    assert settings.dagster_webserver_url == "https://dagster.example.org"


def test_the_requests_contain_the_credentials_but_the_facts_do_not(api: DemoApi) -> None:
    facts = read(with_secrets(api.url)).facts
    assert facts["url"] == api.url
    assert not found_in(json.dumps(facts))
    assert {asked.headers["authorization"] for asked in api.requests} == {f"Basic {BASIC}"}
    assert all(f"?api_key={KEY}" in asked.url for asked in api.requests)


def test_a_user_name_without_a_password_counts_as_a_secret() -> None:
    address = Address.of("https://a-key-of-joe@host/v1/")
    assert address.url == "https://host/v1"
    assert address.auth == (b"a-key-of-joe", b"")
    assert address.hide("the key a-key-of-joe is unknown") == "the key … is unknown"


def error_of(url: str) -> str:
    """All that Dagster would store about the error of a read."""
    with pytest.raises(SourceError) as refused:
        read(url)
    return "".join(traceback.format_exception(refused.value))


def away() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


def test_an_unreachable_source_is_named_without_secrets() -> None:
    for url in (away(), "http://no-such-host.invalid/v1", "http://h..h/v1"):
        said = error_of(with_secrets(url))
        assert f"GET {url}/breweries/meta" in said
        assert not found_in(said)


@pytest.mark.parametrize("status", [401, 500, 302])
def test_an_answer_that_repeats_the_credentials_is_shown_without_them(status: int) -> None:
    echo = f"No {KEY}, {PASSWORD}, {ENCODED}, Basic {BASIC}".encode()

    def answer(_: Asked) -> Reply:
        return Reply(echo, status, {"Location": f"/v1/breweries/meta?api_key={KEY}"})

    with ScriptedApi(some(5), answer) as api:
        said = error_of(with_secrets(api.url))
    assert "/v1/breweries/meta" in said
    assert not found_in(said)


def test_a_warning_about_headers_does_not_contain_the_key(caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"total": 0}'

    def answer(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    with ScriptedApi([], answer) as api, caplog.at_level(logging.DEBUG):
        error_of(with_secrets(api.url))
    assert "Failed to parse headers" in caplog.text
    assert not found_in(caplog.text)


def test_an_s3_error_is_shown_without_the_user_info_of_the_endpoint() -> None:
    said = why(EndpointConnectionError(endpoint_url=with_secrets("http://h:9000/lake")))
    assert "http://h:9000/lake?api_key=…" in said
    assert not found_in(said)


@pytest.fixture
def hook() -> Iterator[WebHook]:
    server = WebHook()
    yield server
    server.close()


@pytest.fixture
def spark_remote() -> Iterator[str]:
    """A Spark Connect server that accepts any token."""
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    yield f"sc://localhost:{port}/;token={SPARK_TOKEN}"
    server.stop()


@pytest.fixture
def settings(
    api: DemoApi, hook: WebHook, spark_remote: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings of the environment, with a secret in each URL that can contain one."""
    for name, value in {
        "BREWERY_API_URL": with_secrets(api.url),
        "SPARK_REMOTE": spark_remote,
        "ALERT_URLS": hook.url,
        "DAGSTER_WEBSERVER_URL": f"https://joe:{ENCODED}@dagster.example.org",
        "REJECTED_PERCENT": "20",  # two of scenario.py's 13 rows are broken
    }.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


@pytest.mark.slow("whole runs with their report, and Dagster's databases")
def test_a_run_leaves_no_secret_whether_it_succeeds_or_fails(
    hook: WebHook,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    alerts = Alerts(urls=hook.url, webserver_url=settings.dagster_webserver_url)
    resources = config_of(JOB, settings)["resources"]
    resources["open_brewery_db"]["config"] |= {"attempts": 2, "backoff": 0.01}
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:

        def run() -> bool:
            return dg.materialize(
                ASSETS,
                resources=resources_of(settings),
                run_config={"resources": resources},
                instance=instance,
                raise_on_error=False,
            ).success

        def alert(cursor: str | None) -> str:
            now = datetime.now(timezone.utc)
            return deliver(instance, alerts, None, cursor, now=now).cursor

        cursor = alert(None)
        assert run()
        monkeypatch.setenv("BREWERY_API_URL", with_secrets(nobody := away()))
        assert not run()
        alert(cursor)
    (page,) = (tmp_path / "lake" / "brewery_report").glob("index.html")
    assert redacted(settings.brewery_api_url).partition("?")[0] in page.read_text()
    (failed,) = [post for post in hook.posts if " failed" in post["title"]]
    assert f"GET {nobody}/breweries/meta gave no usable answer" in failed["message"]
    assert "https://dagster.example.org/runs/" in failed["message"]
    said = "".join(capfd.readouterr())
    assert "page 1 of 1" in said
    kept = contents(tmp_path)
    assert b"BREWERY_API_URL" in kept
    for left in (said, json.dumps(hook.posts), kept):
        assert not found_in(left)


@pytest.mark.slow("a whole run in a separate process, twice")
def test_a_command_leaves_no_secret_whether_its_run_succeeds_or_fails(
    api: DemoApi, tmp_path: Path
) -> None:
    settings = {"BREWERY_API_URL": with_secrets(api.url), "LAKE_URI": str(tmp_path / "lake")}
    checkout = Checkout(tmp_path / "checkout", settings)
    for expected in (0, 1):
        code, said = checkout.run("dg", "launch", "--assets", "*")
        assert code == expected, said
        assert not found_in(said)
        api.faults = Faults(always_status=403)
    for left in (checkout.kept(), contents(tmp_path / "lake")):
        assert api.url.encode() in left
        assert not found_in(left)


@pytest.mark.slow("a command in a separate process")
def test_a_command_reports_a_refused_url_without_its_secrets(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout", {"BREWERY_API_URL": with_secrets("ftp://h/v1")})
    code, said = checkout.run(*checkout.job())
    assert code != 0
    assert "BREWERY_API_URL=ftp://h/v1?api_key=…: allowed is a web address" in said
    assert not found_in(said.encode() + checkout.kept())
