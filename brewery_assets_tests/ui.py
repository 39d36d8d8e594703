"""The Dagster UI as a user sees it: clicks in a browser, and the text of the pages."""

import itertools
import re
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Response, expect
from tenacity import retry, retry_if_exception_message, stop_after_attempt

PATIENCE = 240_000  # milliseconds: a run in the stack takes a minute on a quiet machine
expect.set_options(timeout=PATIENCE)
CLICKS = 5
WAIT = 30_000  # milliseconds until the server has answered a click
TOAST = "[data-sonner-toast]"
RUN_IS_OVER = re.compile(r"^(Success|Failure|Canceled)$")
CHECK_IS_OVER = re.compile(r"^(Succeeded|Failed|Execution failed|Skipped|Not evaluated)$")
# The cards of the lineage from left to right, each as its lines of text.
LINES = """cards => cards
    .map(card => [card.getBoundingClientRect(), card.firstElementChild.innerText])
    .sort(([a], [b]) => a.x - b.x || a.y - b.y)
    .map(([_, text]) => text.split("\\n"))"""


class DagsterUi:
    """A window with the Dagster UI of `make dev` or of the stack.

    Attributes:
        errors: uncaught errors in the scripts of the pages.
    """

    def __init__(self, browser: Browser, address: str, *, sharpness: float = 1) -> None:
        context = browser.new_context(
            viewport={"width": 1280, "height": 840},
            device_scale_factor=sharpness,
            reduced_motion="reduce",
            base_url=address,
        )
        context.set_default_timeout(PATIENCE)
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self._open("/overview")
        self._button("Hide navigation").click()

    def lineage(self) -> dict[str, list[str]]:
        """The text that the lineage shows for each asset, from left to right."""
        self._open("/asset-groups")
        self._button("Materialize all").wait_for()
        # Hide the list on the right, then expand all groups: that zooms the graph to fit.
        self.page.locator("button:has([aria-label=panel_show_right])").last.click()
        self.page.locator("button:has([aria-label=settings])").last.click()
        close, unfold = (
            self.page.get_by_role("menuitem", name=f"{verb} all groups")
            for verb in ("Collapse", "Expand")
        )
        expect(close.or_(unfold)).to_be_visible()
        if close.is_visible():
            close.click()
        unfold.click()
        expect(close).to_be_visible()
        self.page.keyboard.press("Escape")
        expect(close).to_be_hidden()
        cards = self.page.locator("foreignObject", has_text="Asset checks")
        cards.first.wait_for()
        expect(cards.filter(has_text="Loading")).to_have_count(0)
        return {lines[0]: lines[1:] for lines in cards.evaluate_all(LINES)}

    def materialize_all(self) -> str:
        """Clicks the button of the lineage; returns the address of the run."""
        self._open("/asset-groups")
        return self._launched(self._button("Materialize all"))

    def materialize(self, asset: str) -> str:
        """Clicks the button of the asset's page; returns the address of the run."""
        self._open(f"/assets/{asset}")
        return self._launched(self._button("Materialize"))

    def outcome(self, run: str) -> str:
        """The final status on the run's page: Success, Failure or Canceled."""
        self._open(run)
        over = self.page.get_by_text(RUN_IS_OVER)
        over.wait_for()
        return over.inner_text()

    def error(self, run: str) -> str:
        """The cause of a failure that the run's log shows for the failed step."""
        self._open(run)
        errored = self.page.locator("[data-state=open]", has_text=re.compile(r"^Errored \([1-9]"))
        errored.get_by_text(re.compile(r"^[a-z_]+$")).first.click()
        logged = self.page.locator("[data-index]", has_text="STEP_FAILURE")
        cause = logged.get_by_text(re.compile(r"^[\w.]+: ")).last
        expect(cause).to_be_in_viewport()
        return cause.inner_text()

    def newest_run(self) -> tuple[str, str]:
        """The address of the newest run, and its text in the list of runs."""
        self._open("/runs")
        row = self.page.locator("[data-index]", has=self.page.locator("a[href^='/runs/']")).first
        return str(row.locator("a").first.get_attribute("href")), row.inner_text()

    def row_count(self, asset: str) -> int:
        """The row count on the asset's page."""
        self._open(f"/assets/{asset}")
        shown = re.compile(r"Row count\s+([\d,]+)")
        body = self.page.locator("body")
        expect(body).to_contain_text(shown, use_inner_text=True)
        return int(shown.findall(body.inner_text())[0].replace(",", ""))

    def checks(self, asset: str) -> dict[str, str]:
        """The asset's checks with their results."""
        self._open(f"/assets/{asset}?view=checks")
        heading = self.page.get_by_text(re.compile(r"^Checks \(\d+\)$")).inner_text()
        outcomes = self.page.get_by_text(CHECK_IS_OVER)
        expect(outcomes).to_have_count(int(re.sub(r"\D", "", heading)))
        lines = self.page.locator("body").inner_text().split("\n")
        return {
            name: outcome
            for name, outcome in itertools.pairwise(lines)
            if CHECK_IS_OVER.match(outcome)
        }

    def automations(self) -> dict[str, bool]:
        """Each `schedules/…` and `sensors/…`, and whether it is on."""
        self._open("/automation")
        links = self.page.locator("[data-index] a[href^='/locations/']")
        links.first.wait_for()
        names = ["/".join(str(link.get_attribute("href")).split("/")[-2:]) for link in links.all()]
        return {name: self._toggle(name).is_checked() for name in names}

    def switch(self, name: str, *, on: bool) -> None:
        """Switches a schedule or sensor by its toggle.

        The page first shows a state that the browser has cached, and a click on that does nothing.
        So the page is loaded again and the click repeated, as a person would.
        """
        for _ in range(CLICKS):
            if self.automations()[name] is on:
                break
            # The toggle moves at once, but the change is complete only when the server answers.
            with (
                suppress(TimeoutError),
                self.page.expect_response(_answers_a_mutation, timeout=WAIT),
            ):
                self._toggle(name).locator("xpath=..").click()
        expect(self._toggle(name)).to_be_checked(checked=on, timeout=1000)

    def picture(self, file: Path) -> None:
        """Saves a picture of the window, after everything has loaded and no message covers it."""
        self.page.mouse.move(0, 0)
        self.page.wait_for_load_state("networkidle")
        expect(self.page.locator(TOAST)).to_have_count(0)
        self.page.screenshot(path=file, animations="disabled")

    def close(self) -> None:
        self.page.context.close()

    # When a container starts, this machine gets another network, and Chromium drops its requests.
    @retry(
        retry=retry_if_exception_message(match="(?s).*ERR_NETWORK_CHANGED"),
        stop=stop_after_attempt(CLICKS),
        reraise=True,
    )
    def _open(self, path: str) -> None:
        self.page.goto(path)

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(f"{name}$"))

    def _launched(self, button: Locator) -> str:
        button.click()
        # Do not click the link: on a busy machine, the message disappears before the click.
        link = self.page.wait_for_selector(f"{TOAST} a[href^='/runs/']")
        return str(link and link.get_attribute("href"))

    def _toggle(self, name: str) -> Locator:
        row = self.page.locator("[data-index]", has=self.page.locator(f"a[href$='/{name}']"))
        # The toggle is disabled until the state is known; the first input selects the row.
        toggle = row.locator("input:enabled").nth(1)
        toggle.wait_for(state="attached")
        return toggle


def _answers_a_mutation(answer: Response) -> bool:
    return "mutation" in (answer.request.post_data or "")
