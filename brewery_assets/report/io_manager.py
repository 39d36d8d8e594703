"""The report's IO manager: files in a snapshot, and the page at a fixed address."""

import base64
from typing import Any

import dagster as dg

from brewery_assets.lake.io_managers import Candidate, SnapshotIOManager
from brewery_assets.report.files import CSV, PAGE, PICTURE, Report

FORMER = (CSV, PICTURE)  # earlier versions copied them next to the page


class ReportSnapshots(SnapshotIOManager):
    """Stores the report's files in a snapshot, and the page also at a fixed address.

    Only the page has a fixed address. Several files cannot be replaced at once, so a killed run
    would leave files of two snapshots there.
    """

    def write(self, folder: str, candidate: Candidate) -> dict[str, Any]:
        report: Report = candidate.value
        for file, content in report.files.items():
            self.lake.storage.write(f"{folder}/{file}", content)
        # Before the manifest, so that the page of a published report is always in place.
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
        except OSError as error:  # harmless: the page does not link to them
            context.log.warning(f"{name}: an earlier version's files were not deleted: {error}")

    def load_input(self, context: dg.InputContext) -> None:
        raise NotImplementedError("no asset reads the report")


@dg.io_manager(required_resource_keys={"lake"})
def report_snapshots(context: dg.InitResourceContext) -> ReportSnapshots:
    """The report's IO manager."""
    return ReportSnapshots(context.resources.lake)
