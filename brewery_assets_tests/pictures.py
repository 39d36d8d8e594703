"""The pictures of the documentation, each made by a function. `make pictures` writes them all."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser
from rich.console import Console

from brewery_assets.lake.lake import Lake
from brewery_assets.layers.silver import SILVER
from brewery_assets.operations.summary import summary_of
from brewery_assets_tests.browser import Shown
from brewery_assets_tests.ui import DagsterUi

WINDOW = {"width": 1280, "height": 900}


class Scene(NamedTuple):
    """What the pictures show: the state after all assets were made from the real data.

    Attributes:
        ui: a window with the Dagster UI.
        browser: the browser of the window.
        report: the report's page.
        sharpness: pixels of a picture per pixel of the window.
    """

    ui: DagsterUi
    browser: Browser
    report: Path
    sharpness: float


def lineage(scene: Scene, file: Path) -> None:
    """All assets with their age, their checks and their kinds."""
    scene.ui.page.set_viewport_size({"width": 1280, "height": 960})  # fits the whole graph
    scene.ui.lineage()
    scene.ui.picture(file)


def asset(scene: Scene, file: Path) -> None:
    """The page of silver in the UI."""
    scene.ui.row_count(SILVER.name)
    scene.ui.picture(file)


def report(scene: Scene, file: Path) -> None:
    """The top of the report: totals, filters and the map."""
    shown = Shown(scene.browser, scene.report, viewport=WINDOW, device_scale_factor=scene.sharpness)
    shown.page.screenshot(path=file)
    shown.close()


def terminal(scene: Scene, file: Path) -> None:
    """The end of the output of `make run_pipeline` in a terminal."""
    lake = scene.report.parent.parent
    console = Console(record=True, width=120, file=io.StringIO(), highlight=False)
    console.print(
        f"$ make run_pipeline\n{summary_of(Lake(uri=str(lake)))}".replace(str(lake), "lake")
    )
    svg = console.export_svg(title="make run_pipeline")
    # A picture must not load fonts from the network; without them it uses the reader's fonts.
    file.write_text(
        re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL), encoding="utf-8"
    )


PICTURES: dict[str, Callable[[Scene, Path], None]] = {
    "lineage.png": lineage,
    "asset.png": asset,
    "report.png": report,
    "terminal.svg": terminal,
}
