"""Serves the demo API on loopback until it is interrupted: `python -m demo --help`."""

import argparse
import errno
import signal
import sys
import threading

from demo.data import load
from demo.faults import parse
from demo.server import LOOPBACK, DemoApi

HIGHEST_PORT = 65535


def main() -> int:
    """The exit status: 0 after SIGINT or SIGTERM, 2 for an invalid option."""
    options = _options()
    try:
        faults = parse(options.fault)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stopping = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stopping.set())
    limit = options.requests_per_minute or None
    rows = load()[: options.rows]
    api = DemoApi(rows, faults=faults, requests_per_minute=limit, port=options.port)
    api.host = options.host
    _start(api)
    print(
        f"Open Brewery DB demo API: {api.url} ({len(api.rows):,} breweries; Ctrl-C stops it)",
        flush=True,
    )
    # Without a timeout, Ctrl-C has no effect on Windows.
    while not stopping.wait(0.5):
        pass
    api.stop()
    return 0


def _start(api: DemoApi) -> None:
    try:
        api.start()
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"is unusable ({error.strerror})"
        print(f"Port {api.port} {why}; taking a free one.", flush=True)
        api.port = 0
        api.start()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help=f"default {LOOPBACK}")
    parser.add_argument("--port", type=int, default=8000, help="default 8000; 0: a free one")
    parser.add_argument("--rows", type=int, help="how many breweries; default all")
    parser.add_argument(
        "--requests-per-minute", type=int, default=120, help="default 120; 0: no limit"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME=VALUE", help="see demo/README.md"
    )
    options = parser.parse_args()
    if not 0 <= options.port <= HIGHEST_PORT:
        parser.exit(2, f"--port must be from 0 to {HIGHEST_PORT}.\n")
    if options.rows is not None and options.rows < 0:
        parser.exit(2, "--rows must not be negative.\n")
    if options.requests_per_minute < 0:
        parser.exit(2, "--requests-per-minute must not be negative.\n")
    return options


if __name__ == "__main__":
    sys.exit(main())
