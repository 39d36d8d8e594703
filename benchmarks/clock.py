"""What the measured processes of both engines share: their folders and their clock."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BRONZE = Path("bronze_breweries/real/breweries.json")  # below the folder of the engine
PASSES = ("cold", "warm")


def clock(layers: Callable[[str], Iterator[str]]) -> None:
    """Goes twice through the layers and prints the seconds of each as one line of JSON.

    Args:
        layers: writes the snapshot of the given name of each layer, and names a layer when it is
            written.
    """
    found: dict[str, dict[str, float]] = {}
    for snapshot in PASSES:
        seconds = found[snapshot] = {}
        since = time.perf_counter()
        for layer in layers(snapshot):
            seconds[layer] = time.perf_counter() - since
            since = time.perf_counter()
    print(json.dumps(found))
