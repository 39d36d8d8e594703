"""The report's IO manager: files for people, and the page at an address that stays the same."""

import base64

import dagster as dg

from brewery_assets.lake.io_managers import SnapshotIOManager, Written
from brewery_assets.lake.lake import LakeError
from brewery_assets.layers.gold import GOLD
from brewery_assets.layers.silver import SILVER
from brewery_assets.report.page import CSV, PAGE, PICTURE, Report

FORMER = (CSV, PICTURE)  # earlier versions had copies of them beside the page


class ReportSnapshots(SnapshotIOManager):
    """The report: its files in the snapshot, and the page at an address that stays the same.

    Only the page is there. Several files could not be replaced at once, so a run that is killed
    would leave some of one snapshot and some of another.
    """

    def write(self, name: str, folder: str, value: Report) -> Written:
        for file, content in value.files.items():
            self.lake.storage.write(f"{folder}/{file}", content)
        picture = base64.b64encode(value.files[PICTURE]).decode()
        shown = {
            "page": dg.MetadataValue.path(self.lake.storage.uri(f"{name}/{PAGE}")),
            **{
                file: dg.MetadataValue.path(self.lake.storage.uri(f"{folder}/{file}"))
                for file in value.files
                if file.endswith(".csv")
            },
            "picture": dg.MetadataValue.md(f"![breweries](data:image/png;base64,{picture})"),
        }
        return Written({"rows": value.rows, "codec": "none"}, shown)

    def origins(self, context: dg.OutputContext) -> list[str]:
        return [GOLD.name, SILVER.name]  # of the changes it shows what there is

    def handle_output(self, context: dg.OutputContext, obj: Report) -> None:
        super().handle_output(context, obj)
        name = context.asset_key.path[-1]
        draft = self.lake.draft(name)
        if draft is None:
            raise LakeError(f"{name}: another run has published it meanwhile")
        self.lake.storage.write(f"{name}/{PAGE}", obj.files[PAGE])
        self.lake.publish(draft, [])  # last: the newest report is one whose page is in place
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
