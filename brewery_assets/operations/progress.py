"""Shows a run in the terminal: the pages read, a line per published layer, the failure."""

import logging
import re
from typing import Any, NamedTuple

import dagster as dg
from dagster import DagsterEventType as Event

from brewery_assets.automation.run_alerts import NOT_NUMBERS, root_of
from brewery_assets.checks.rule import format_numbers
from brewery_assets.checks.rules import RULES
from brewery_assets.layers.bronze import BRONZE
from brewery_assets.operations.platform import columns_of
from brewery_assets.operations.terminal import Terminal

PAGE = re.compile(r"page (\d+)(?: of (\d+))?: ([\d,]+) breweries")
MADE_BY = {
    "run_pipeline_brewery": "make run_pipeline",
    "publish_report": "make publish_report",
    "audit_silver": "make audit_silver",
}
FAILURES = (Event.STEP_FAILURE, Event.RUN_FAILURE)
DOCS = "docs/operations.md"


def is_interrupt(error: Any) -> bool:
    """Whether a Dagster error means that the process was interrupted."""
    return error is not None and (
        error.cls_name == dg.DagsterExecutionInterruptedError.__name__ or is_interrupt(error.cause)
    )


class Unmet(NamedTuple):
    """A check that did not pass."""

    asset: str
    name: str
    blocks: bool
    numbers: dict[str, Any]

    @property
    def acceptable(self) -> bool:
        return self.name in RULES.get(self.asset, {}) and RULES[self.asset][self.name].acceptable


class Progress:
    """Shows the events of one run as Dagster stores them.

    Attributes:
        published: the assets that the run has published.
        unmet: the checks that did not pass.
        stopped: whether a signal ended the run.
    """

    def __init__(self, terminal: Terminal, *, verbose: bool = False) -> None:
        self.terminal = terminal
        self.verbose = verbose
        self.published: list[str] = []
        self.unmet: list[Unmet] = []
        self.stopped = False
        self._failed: tuple[str, str] | None = None  # the step, blank if none, and the cause
        self._began: dict[str, float] = {}
        self._bar = None if verbose else terminal.bar()
        if self._bar:
            self._bar.add_task("starting", total=None, pages="")

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the bar, if there is one."""
        if self._bar:
            self._bar.stop()

    def __call__(self, entry: dg.EventLogEntry) -> None:
        """Shows one event."""
        event = entry.dagster_event
        if event is None:
            self._heard(entry)
        elif event.event_type is Event.STEP_START:
            self._began[event.step_key or ""] = entry.timestamp
            self._move((event.step_key or "").replace("_and_", ", "), None)
        elif event.event_type is Event.ASSET_CHECK_EVALUATION:
            self._checked(event.asset_check_evaluation_data)
        elif event.event_type is Event.ASSET_MATERIALIZATION:
            self._made(event, entry.timestamp)
        elif event.event_type in FAILURES and not self._failed:
            error = getattr(event.event_specific_data, "error", None)
            refused = getattr(event.event_specific_data, "user_failure_data", None)  # a dg.Failure
            cause = refused.description if refused else root_of(error)
            self._failed = event.step_key or "", cause or event.message or ""
            self.stopped = is_interrupt(error)

    def _heard(self, entry: dg.EventLogEntry) -> None:
        page = PAGE.fullmatch(entry.user_message)
        if page and self._bar:
            number, total = int(page[1]), int(page[2] or 0) or None
            self._move(BRONZE, total, number, entry.user_message)
        elif page and not self.verbose:
            self.terminal.say(entry.user_message)
        # After a failure Dagster warns about each step that it skips.
        elif int(entry.level) >= logging.WARNING and not (self.verbose or self._failed):
            self.terminal.say(f"warning: {entry.user_message}", "yellow")

    def _move(self, step: str, total: int | None, done: int = 0, pages: str = "") -> None:
        if self._bar:
            (task,) = self._bar.task_ids
            self._bar.reset(task, total=total, completed=done, description=step, pages=pages)

    def _checked(self, found: dg.AssetCheckEvaluation) -> None:
        if not found.passed:
            numbers = {
                name: value.value
                for name, value in found.metadata.items()
                if name not in NOT_NUMBERS and not isinstance(value, dg.MarkdownMetadataValue)
            }
            blocks = found.severity is dg.AssetCheckSeverity.ERROR
            asset = found.asset_key.to_user_string()
            self.unmet.append(Unmet(asset, found.check_name, blocks, numbers))

    def _made(self, event: dg.DagsterEvent, when: float) -> None:
        made = event.step_materialization_data.materialization
        asset = made.asset_key.to_user_string()
        self.published.append(asset)
        rows, size, files = (
            int(str(made.metadata[name].value)) if name in made.metadata else None
            for name in ("dagster/row_count", "dagster/size_bytes", "files")
        )
        line = f"{asset:58}"
        if rows is not None and size is not None and files is not None:
            line = columns_of(asset, rows, size, files)
        line += f"{when - self._began.get(event.step_key or '', when):>6.1f} s"
        if unmet := [check.name for check in self.unmet if check.asset == asset]:
            line += f"  {len(unmet)} warning{'' if len(unmet) == 1 else 's'}: {', '.join(unmet)}"
        self.terminal.say(line, "yellow" if unmet else None)

    def explain(self, job: str, run_id: str) -> None:
        """Prints what failed, the cause, what to do, and where the full log is."""
        step, cause = self._failed or ("", "The run ended without an error message.")
        again = MADE_BY.get(job, f"dg launch --job {job}")
        blocking = [check for check in self.unmet if check.blocks]
        if blocking:
            what = f"{blocking[0].asset} is not published: a check blocks it."
            cause = "\n".join(
                f"{check.name}: {RULES[check.asset][check.name].description}\n"
                f"({format_numbers(check.numbers)})"
                for check in blocking
            )
            todo = f'See {DOCS}, "When a check blocks".'
            if all(check.acceptable for check in blocking):
                names = ",".join(check.name for check in blocking)
                todo += f" If the source is right:\nACCEPT_CHECKS={names} {again}"
        else:
            what = f"{step or job} failed."
            cause = re.sub(r"^\w+Error: ", "", cause)
            hint = (
                "Check that the API answers, then run: "
                if step == BRONZE
                else "Fix the cause, then run: "
            )
            todo = f'{hint}{again}\nSee {DOCS}, "What each alert means".'
        what += " Readers keep the last published snapshot."
        lines = {"Failed": what, "Cause": cause, "To do": todo, "Log": f"make log RUN={run_id[:8]}"}
        self.terminal.complain("")
        for name, text in lines.items():
            indented = text.replace("\n", "\n" + " " * 8)
            self.terminal.complain(f"{name:8}{indented}", "red" if name == "Failed" else None)
