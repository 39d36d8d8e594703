"""What the measured processes of both engines share: the folders and the clock."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BRONZE = Path("bronze_breweries/real/breweries.json")  # in the folder of the engine
PASSES = ("cold", "warm")


def clock(layers: Callable[[str], Iterator[str]]) -> None:
    """Builds the layers twice and prints the seconds of each layer as one line of JSON.

    Args:
        layers: writes each layer's snapshot of the given name, and yields the layer's name after
            that.
    """
    found: dict[str, dict[str, float]] = {}
    for snapshot in PASSES:
        seconds = found[snapshot] = {}
        since = time.perf_counter()
        for layer in layers(snapshot):
            seconds[layer] = time.perf_counter() - since
            since = time.perf_counter()
    print(json.dumps(found))
