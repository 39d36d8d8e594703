"""`make demo`: the pipeline once, over a local copy of the API, and what came of it."""

import os
import sys

import dagster as dg
from dotenv import load_dotenv

from brewery_assets.settings import Settings, SettingsError
from demo.server import DemoApi
from demo.summary import summary_of

PORT = 8000


def main() -> int:
    """Runs the job; the process's exit code."""
    load_dotenv(".env", override=True)  # as Dagster's own commands do
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    api = DemoApi(port=PORT)
    try:
        api.start()
    except OSError:  # taken
        api = DemoApi()
        api.start()
    try:
        print(f"Open Brewery DB, a local copy: {api.url} ({len(api.rows):,} breweries)", flush=True)
        os.environ["BREWERY_API_URL"] = api.url
        # It reads the settings when it is imported.
        from brewery_assets.definitions import defs, resources_of  # noqa: PLC0415

        with dg.DagsterInstance.get() as instance:
            job = defs.resolve_job_def("run_pipeline_brewery")
            result = job.execute_in_process(instance=instance, raise_on_error=False)
    finally:
        api.stop()
    if not result.success:
        print("The run failed; the lines above say why.", file=sys.stderr)
        return 1
    print(summary_of(resources_of(settings)["lake"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
