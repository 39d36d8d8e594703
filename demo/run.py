"""`make demo`: runs the pipeline and the report once, from a local copy of the API."""

import os
import sys

from dotenv import load_dotenv

from brewery_assets.lake.lake import Lake
from brewery_assets.operations.run import run_job
from brewery_assets.operations.summary import location, next_steps, summary_of
from brewery_assets.operations.terminal import terminal
from brewery_assets.report.asset import REPORT
from brewery_assets.report.files import PAGE
from brewery_assets.settings import Settings, SettingsError
from demo.server import DemoApi

PORT = 8000


def main() -> int:
    """Runs both jobs; the process's exit code."""
    load_dotenv(".env", override=True)  # as Dagster's own commands do
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    api = DemoApi(port=PORT)
    try:
        api.start()
    except OSError:  # the port is taken
        api = DemoApi()
        api.start()
    try:
        print(f"Open Brewery DB, a local copy: {api.url} ({len(api.rows):,} breweries)", flush=True)
        os.environ["BREWERY_API_URL"] = api.url
        with terminal(muted=True) as shown:
            code = run_job("run_pipeline_brewery", settings, shown)
            code = code or run_job("publish_report", settings, shown)
    finally:
        api.stop()
    if not code:
        lake = Lake.of(settings)
        print(summary_of(lake))
        print(f"\nThe page, with a map: {location(lake, f'{REPORT}/{PAGE}')}")
        print(
            next_steps("make run_pipeline    run the pipeline on the live API, into the same lake")
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
