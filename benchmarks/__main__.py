"""Measures the pipeline beside what a user would pick instead: `python -m benchmarks --help`."""

import argparse
import signal
import sys

from benchmarks import layers, report, whole
from benchmarks.bench import BenchmarkError, bench
from benchmarks.lines import REAL_ROWS


def main() -> int:
    """The exit status: 0, 1 when what was measured failed, 130 after Ctrl-C, 143 after SIGTERM."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _measure(options)
    except BenchmarkError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(options: argparse.Namespace) -> None:
    machine = report.machine(options.repeat)
    with bench() as at:
        commands = found = {}
        if options.only != "layers":
            commands = whole.measure(at, options.repeat, _say)
        if options.only != "whole":
            found = layers.measure(at, options.rows, options.repeat, _say)
    print(machine)
    if commands:
        print(f"\n### The whole command\n\n{report.whole(commands)}")
    if found:
        print(f"\n### Silver, rejected and gold\n\n{report.layers(found)}")
    print(f"\n### Peak memory\n\n{report.memory(commands, found)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeat", type=_positive, default=5, help="default 5")
    parser.add_argument(
        "--rows",
        type=_sizes,
        metavar="N,…",
        default=[REAL_ROWS, 1_000_000],
        help=f"for the layers, default {REAL_ROWS},1000000",
    )
    parser.add_argument("--only", choices=("whole", "layers"), help="default: both")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
