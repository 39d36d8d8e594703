"""The report's IO manager: files for people, and the page at an address that stays the same."""

import base64
from typing import Any

import dagster as dg

from brewery_assets.lake.io_managers import Candidate, SnapshotIOManager
from brewery_assets.report.files import CSV, PAGE, PICTURE, Report

FORMER = (CSV, PICTURE)  # earlier versions had copies of them beside the page


class ReportSnapshots(SnapshotIOManager):
    """The report: its files in the snapshot, and the page at an address that stays the same.

    Only the page is there. Several files could not be replaced at once, so a run that is killed
    would leave some of one snapshot and some of another.
    """

    def write(self, folder: str, candidate: Candidate) -> dict[str, Any]:
        report: Report = candidate.value
        for file, content in report.files.items():
            self.lake.storage.write(f"{folder}/{file}", content)
        # The newest published report is one whose page is in place.
        self.lake.storage.write(f"{candidate.layer}/{PAGE}", report.files[PAGE])
        return {"codec": "none"}

    def handle_output(self, context: dg.OutputContext, obj: Candidate) -> None:
        super().handle_output(context, obj)
        files, name = obj.value.files, obj.layer
        folder = self.lake.reading(name).folder
        picture = base64.b64encode(files[PICTURE]).decode()
        context.add_output_metadata(
            {
                "page": dg.MetadataValue.path(self.lake.storage.uri(f"{name}/{PAGE}")),
                **{
                    file: dg.MetadataValue.path(self.lake.storage.uri(f"{folder}/{file}"))
                    for file in files
                    if file.endswith(".csv")
                },
                "picture": dg.MetadataValue.md(f"![breweries](data:image/png;base64,{picture})"),
            }
        )
        try:
            for file in FORMER:
                self.lake.storage.delete(f"{name}/{file}")
        except OSError as error:  # the page does not lead there
            context.log.warning(f"{name}: the files of an earlier version stay: {error}")

    def load_input(self, context: dg.InputContext) -> None:
        raise NotImplementedError("the report is for people")


@dg.io_manager(required_resource_keys={"lake"})
def report_snapshots(context: dg.InitResourceContext) -> ReportSnapshots:
    """The report's IO manager."""
    return ReportSnapshots(context.resources.lake)
