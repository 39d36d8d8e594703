"""The report's IO manager: files for people, at an address that stays the same."""

import base64

import dagster as dg

from brewery_assets.gold import GOLD
from brewery_assets.io_managers import SnapshotIOManager, Written
from brewery_assets.lake import LakeError
from brewery_assets.report_page import CSV, PAGE, PICTURE, Report
from brewery_assets.silver import SILVER
from brewery_assets.suspects_csv import SUSPECTS_CSV


class ReportSnapshots(SnapshotIOManager):
    """The report: files for people, under the snapshot and at an address that stays the same."""

    def write(self, name: str, folder: str, value: Report) -> Written:
        for file, content in value.files.items():
            self.lake.storage.write(f"{folder}/{file}", content)
        picture = base64.b64encode(value.files[PICTURE]).decode()
        shown = {
            "page": dg.MetadataValue.path(self.lake.storage.uri(f"{name}/{PAGE}")),
            "csv": dg.MetadataValue.path(self.lake.storage.uri(f"{name}/{CSV}")),
            "suspects": dg.MetadataValue.path(self.lake.storage.uri(f"{name}/{SUSPECTS_CSV}")),
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
        for file, content in obj.files.items():
            self.lake.storage.write(f"{name}/{file}", content)
        self.lake.publish(draft, [])  # last: the newest report is one whose copies are in place

    def load_input(self, context: dg.InputContext) -> None:
        raise NotImplementedError("the report is for people")


@dg.io_manager(required_resource_keys={"lake"})
def report_snapshots(context: dg.InitResourceContext) -> ReportSnapshots:
    """The report's IO manager."""
    return ReportSnapshots(context.resources.lake)
