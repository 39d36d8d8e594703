"""The terminal output of a command: its lines and a progress bar, without other output."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from brewery_assets.presentation import visible
from brewery_assets.redaction import redacted_text


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Stops printing; by default Rich ends the process."""
        self.quiet = True


class Terminal:
    """The standard output and error of a command.

    The run continues if the terminal is closed or the reader of a pipe ends.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = _Console(file=out, highlight=False, markup=False, soft_wrap=True)
        self._err = _Console(file=err, highlight=False, markup=False, soft_wrap=True)

    @property
    def watched(self) -> bool:
        """Whether the output is a terminal that can show colors and a progress bar."""
        return self._out.file.isatty() and not self._out.is_dumb_terminal

    def say(self, text: str = "", style: str | None = None) -> None:
        """Prints lines to standard output, without the secrets in URLs."""
        _print(self._out, text, style)

    def complain(self, text: str, style: str | None = None) -> None:
        """Prints lines to standard error, in the same way."""
        _print(self._err, text, style)

    def bar(self) -> Progress | None:
        """A progress bar below the lines, removed at the end; None if this is no terminal."""
        if not self.watched:
            return None
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
        return Progress(
            *columns,
            TextColumn("{task.fields[pages]}"),
            console=self._out,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )


def _print(console: Console, text: str, style: str | None) -> None:
    lines = [visible(line) for line in redacted_text(text).split("\n")]
    with suppress(OSError):
        console.print("\n".join(lines), style=style)


@contextmanager
def terminal(*, muted: bool) -> Iterator[Terminal]:
    """Yields the process's standard output and error as a Terminal.

    Args:
        muted: discards what other code prints. Dagster's log of the run keeps the output of the
            steps.
    """
    kept = os.dup(1), os.dup(2)
    out, err = (
        os.fdopen(number, "w", 1, encoding=stream.encoding, errors="replace")
        for number, stream in zip(kept, (sys.stdout, sys.stderr), strict=True)
    )
    try:
        if muted:
            _point_outputs_at(os.open(os.devnull, os.O_WRONLY), None)
        yield Terminal(out, err)
    finally:
        if muted:
            _point_outputs_at(out.fileno(), err.fileno())
        for stream in (out, err):
            with suppress(OSError):
                stream.close()


def _point_outputs_at(out: int, err: int | None) -> None:
    """Redirects file descriptors 1 and 2 to `out` and `err`, or both to `out`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, io.UnsupportedOperation):
            stream.flush()
    os.dup2(out, 1)
    os.dup2(out if err is None else err, 2)
    if err is None:
        os.close(out)
