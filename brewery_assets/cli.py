"""The command-line program: `brewery`, or `python -m brewery_assets`.

Each command imports what it needs itself, so that `--help` answers at once.
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
    help="Open Brewery DB as a lake: run the pipeline, look at its results, watch over it.",
    epilog="Exit codes: 0 success, 1 failure, 2 a bad setting or option, 130 stopped by Ctrl-C.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def brewery() -> None:
    """Reads `.env`, as Dagster's own commands do."""
    load_dotenv(".env", override=True)


@app.command()
def run(*, verbose: Verbose = False) -> None:
    """Read the whole source, refine and count it: bronze, silver, gold."""
    settings = _run("run_pipeline_brewery", verbose=verbose)
    from brewery_assets.operations.summary import next_steps, summary_of

    typer.echo(summary_of(_lake(settings)))
    typer.echo(
        next_steps(
            "make publish_report  the counts as a page with a map, with their CSV inside",
            "make start_pipeline  the same every day, with alerts",
        )
    )


@app.command()
def report(
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    verbose: Verbose = False,
) -> None:
    """Make the page of the newest published counts, and print where it is."""
    settings = _run("publish_report", verbose=verbose)
    from brewery_assets.report.asset import REPORT
    from brewery_assets.report.files import PAGE

    page = _lake(settings).storage.uri(f"{REPORT}/{PAGE}")
    typer.echo(page)
    if open_it and "://" in page:
        typer.echo(f"A browser cannot open it there: aws s3 cp {page} .", err=True)
        raise typer.Exit(FAILED)
    if open_it:
        typer.launch(Path(page).absolute().as_uri())


@app.command()
def audit(*, verbose: Verbose = False) -> None:
    """Compare the newest silver with its Great Expectations, and print where their pages are."""
    settings = _run("audit_silver", verbose=verbose)
    from brewery_assets.checks.expectations import INDEX

    typer.echo(_lake(settings).storage.uri(INDEX))


@app.command()
def status() -> None:
    """Show what is on, how the last runs ended, and the newest snapshot of each layer."""
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
        bool, typer.Option("--repair", help="Bring the Delta tables up to date before.")
    ] = False,
) -> None:
    """Check that snapshots are whole, that the layers agree, and what the Delta tables show."""
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
    """Send a test message to every address in ALERT_URLS, and say whether it arrived."""
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
        str | None, typer.Argument(metavar="[RUN]", help="Its id, or the id's first characters.")
    ] = None,
) -> None:
    """Print the whole log of a run, of the last one by default, with the traces of its errors."""
    with _problems_named(), _instance() as instance:
        from brewery_assets.operations.log import NoRunError, log_of

        try:
            for entry in log_of(instance, run_id):
                typer.echo(entry)
        except NoRunError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FAILED) from None


def _run(job: str, *, verbose: bool) -> "Settings":
    """Runs a job and shows it; the settings, if it succeeded."""
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
    """Ends the command with a sentence if a setting or the lake is wrong, or does not answer."""
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
    """Dagster's storage is that of this folder, unless DAGSTER_HOME names another."""
    from brewery_assets.settings import SettingsError

    if "DAGSTER_HOME" not in os.environ:
        if not Path("dagster.yaml").exists():
            raise SettingsError("DAGSTER_HOME is not set: type this in the project's folder")
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
