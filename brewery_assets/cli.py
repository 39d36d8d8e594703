"""The command-line program: `brewery`, or `python -m brewery_assets`.

Each command imports its own dependencies, so that `--help` answers at once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import load_dotenv

if TYPE_CHECKING:
    import dagster as dg

    from brewery_assets.lake.lake import Lake
    from brewery_assets.settings import Settings

FAILED, BAD_SETTING = 1, 2
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Dagster's log of the run.")]

app = typer.Typer(
    help="The Open Brewery DB as a data lake: run the pipeline, show its results, monitor it.",
    epilog="Exit codes: 0 success, 1 failure, 2 a bad setting or option, 130 stopped by Ctrl-C.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def brewery() -> None:
    """Reads `.env`, like Dagster's own commands."""
    load_dotenv(".env", override=True)


@app.command()
def run(*, verbose: Verbose = False) -> None:
    """Run the pipeline once: read the whole source and publish bronze, silver and gold."""
    settings = _run("run_pipeline_brewery", verbose=verbose)
    from brewery_assets.operations.summary import next_steps, summary_of

    typer.echo(summary_of(_lake(settings)))
    typer.echo(
        next_steps(
            "make publish_report  the counts as a page with a map, with their CSV inside",
            "make start_pipeline  run the pipeline every day, with alerts",
        )
    )


@app.command()
def report(
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    verbose: Verbose = False,
) -> None:
    """Publish the report of the newest counts, and print its path."""
    settings = _run("publish_report", verbose=verbose)
    from brewery_assets.report.asset import REPORT
    from brewery_assets.report.files import PAGE

    page = _lake(settings).storage.uri(f"{REPORT}/{PAGE}")
    typer.echo(page)
    if open_it and "://" in page:
        typer.echo(
            f"A browser cannot open an S3 URI. Copy the page first: aws s3 cp {page} .", err=True
        )
        raise typer.Exit(FAILED)
    if open_it:
        typer.launch(Path(page).absolute().as_uri())


@app.command()
def audit(*, verbose: Verbose = False) -> None:
    """Validate the newest silver with Great Expectations, and print the path of the Data Docs."""
    settings = _run("audit_silver", verbose=verbose)
    from brewery_assets.checks.expectations import INDEX

    typer.echo(_lake(settings).storage.uri(INDEX))


@app.command()
def status() -> None:
    """Show the schedule and sensors, the last runs, and the newest snapshot of each layer."""
    with _problems_named(), _instance() as instance:
        from brewery_assets.operations import platform

        lake = _lake(_settings())
        typer.echo(platform.status(instance, lake, datetime.now(timezone.utc)))


@app.command()
def start() -> None:
    """Turn the daily schedule and the sensors on."""
    _switch(on=True)


@app.command()
def stop() -> None:
    """Turn the daily schedule and the sensors off."""
    _switch(on=False)


@app.command()
def verify(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Bring the Delta tables up to date first.")
    ] = False,
) -> None:
    """Check that snapshots are whole, layers agree and Delta tables are up to date."""
    with _problems_named():
        from brewery_assets.operations import verify

        lake = _lake(_settings())
        if repair:
            verify.repair(lake)
        text, well = verify.report(lake)
        lines, up_to_date = verify.delta_tables(lake)
    typer.echo("\n".join([text, *lines]))
    if not (well and up_to_date):
        raise typer.Exit(FAILED)


@app.command()
def alert_test() -> None:
    """Send a test message to every address in ALERT_URLS, and print whether it arrived."""
    with _problems_named():
        from brewery_assets.automation.alerts import Alerts
        from brewery_assets.operations.alert_test import send_test

        settings = _settings()
        if not settings.alert_urls:
            typer.echo("ALERT_URLS is not set: .env.example has examples", err=True)
            raise typer.Exit(BAD_SETTING)
        alerts = Alerts(urls=settings.alert_urls, webserver_url=settings.dagster_webserver_url)
        lost = 0
        for number, (name, why) in enumerate(send_test(alerts), start=1):
            lost += why is not None
            typer.echo(f"{number}. {name}: {f'did not arrive: {why}' if why else 'arrived'}")
    if lost:
        raise typer.Exit(FAILED)


@app.command()
def log(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run's id, or its first characters.")
    ] = None,
) -> None:
    """Print the full log of a run (default: the last one), with stack traces."""
    with _problems_named(), _instance() as instance:
        from brewery_assets.operations.log import NoRunError, log_of

        try:
            for entry in log_of(instance, run_id):
                typer.echo(entry)
        except NoRunError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILED) from None


def _run(job: str, *, verbose: bool) -> "Settings":
    """Runs a job and shows its progress. Returns the settings, or exits if the run fails."""
    with _problems_named():
        settings = _settings()
        _need_home()
    from brewery_assets.operations.run import run_job
    from brewery_assets.operations.terminal import terminal

    with terminal(muted=not verbose) as shown:
        code = run_job(job, settings, shown, verbose=verbose)
    if code:
        raise typer.Exit(code)
    return settings


def _switch(*, on: bool) -> None:
    with _problems_named(), _instance() as instance:
        from brewery_assets.operations.platform import CodeLocationError, switch

        _settings()
        try:
            for line in switch(instance, on=on):
                typer.echo(line)
        except CodeLocationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILED) from None


def _lake(settings: "Settings") -> "Lake":
    from brewery_assets.lake.lake import Lake

    return Lake.of(settings)


def _settings() -> "Settings":
    from brewery_assets.settings import Settings

    return Settings.from_environment()


@contextmanager
def _problems_named() -> Iterator[None]:
    """Ends the command with a message if a setting is wrong or the lake cannot be used."""
    from brewery_assets.lake.lake import LakeError
    from brewery_assets.settings import SettingsError

    try:
        yield
    except (SettingsError, LakeError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_SETTING) from None


@contextmanager
def _instance() -> "Iterator[dg.DagsterInstance]":
    _need_home()
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        yield instance


def _need_home() -> None:
    """Uses the current folder as DAGSTER_HOME, unless that variable is set."""
    from brewery_assets.settings import SettingsError

    if "DAGSTER_HOME" not in os.environ:
        if not Path("dagster.yaml").exists():
            raise SettingsError("DAGSTER_HOME is not set: run this command in the project's folder")
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
