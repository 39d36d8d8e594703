"""Measures the pipeline and alternatives to it: `python -m benchmarks --help`."""

import argparse
import signal
import sys

from benchmarks import delta, layers, report, whole
from benchmarks.bench import BenchmarkError, bench
from benchmarks.lines import REAL_ROWS


def main() -> int:
    """The exit status: 0, 1 if a measured command failed, 130 after Ctrl-C, 143 after SIGTERM."""
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
    asked = (options.only,) if options.only else ("whole", "layers")
    print(machine, flush=True)
    with bench() as at:
        if "whole" in asked:
            commands = whole.measure(at, whole.WHOLE, options.repeat, _say)
            print(f"\n### The whole command\n\n{report.whole(commands)}", flush=True)
        if "s3" in asked:
            late = whole.measure(at, whole.LATE_S3, options.repeat, _say)
            print(f"\n### S3 with latency\n\n{report.whole(late)}", flush=True)
        if "delta" in asked:
            lives = delta.measure(at, options.repeat, _say)
            print(f"\n### The log of a Delta table\n\n{report.lives(lives)}", flush=True)
        for name, pair, title in (
            ("layers", layers.BESIDE_DUCKDB, "Silver, rejected and gold"),
            ("engines", layers.BESIDE_SPARK, "The same code on two engines"),
        ):
            if name in asked:
                found = layers.measure(at, pair, options.rows, options.repeat, _say)
                print(f"\n### {title}\n\n{report.layers(found, pair)}", flush=True)


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
    parser.add_argument(
        "--only",
        choices=("whole", "s3", "layers", "engines", "delta"),
        help="default: whole and layers; engines needs Java 17",
    )
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
