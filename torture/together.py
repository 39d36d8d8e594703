"""Several runs on one lake at the same time, and readers while runs publish and delete."""

import threading
from collections.abc import Callable, Iterator
from random import Random

import polars as pl
from deltalake import DeltaTable

from brewery_assets.layers.silver import SILVER
from brewery_assets_tests.lake.readers import DUCKDB, with_duckdb
from torture.trial import Outcome, Trial
from torture.verdict import ids_of, options_of
from torture.world import Universe, World

PUBLICATIONS = 5


def of_runs(universe: Universe, random: Random) -> Iterator[Trial]:
    """Two and four runs at once, each with its own Dagster storage, as on several machines."""
    del universe, random
    for place in ("folder", "s3"):
        for number in (2, 4):

            def act(world: World, number: int = number) -> Outcome:
                ended = [running.wait() for running in [world.start() for _ in range(number)]]
                failed = [f"a run failed: {run.cause}" for run in ended if run.code]
                return Outcome("published", tuple(failed))

            yield Trial("together", place, f"{number} runs at once", act)


def of_readers(universe: Universe, random: Random) -> Iterator[Trial]:
    """Readers of silver's Delta table in a loop; each must see one of the published states."""
    del universe
    for place in ("folder", "s3"):
        seed = random.randrange(10**6)

        def act(world: World, seed: int = seed) -> Outcome:
            return _read_meanwhile(world, Random(seed))

        yield Trial("readers", place, f"readers in a loop, {PUBLICATIONS} publications", act)


def _read_meanwhile(world: World, random: Random) -> Outcome:
    watch = Watch(world)
    faults = []
    with watch:
        for _ in range(PUBLICATIONS):
            del world.truth[random.randrange(len(world.truth))]
            world.api.rows[:] = world.truth
            watch.states.add(ids_of(world.truth))
            ended = world.run(SNAPSHOTS_KEPT="2")
            if ended.code:
                faults.append(f"a run failed: {ended.cause}")
    result = f"published {PUBLICATIONS} times"
    return Outcome(result, (*faults, *watch.faults), f"{watch.reads} reads")


class Watch:
    """Reads silver in a loop, in a thread for each reader, between enter and exit.

    Attributes:
        states: the sets of ids that a reader may see.
        threads: one for each reader.
        reads: how often silver was read.
        faults: what a reader saw that was none of the states, and its errors.
    """

    def __init__(self, world: World) -> None:
        self.states = {ids_of(world.before)}
        self.reads = 0
        self.faults: list[str] = []
        self._uri = world.lake.storage.uri(SILVER.name)
        self._options = options_of(self._uri)
        self._stop = threading.Event()
        readers = [self._with_deltalake, self._with_polars]
        if (DUCKDB / "installed").exists():
            readers.append(self._with_duckdb)
        self.threads = [threading.Thread(target=self._loop, args=(read,)) for read in readers]

    def __enter__(self) -> "Watch":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join()

    def _loop(self, read: Callable[[], list[str]]) -> None:
        while not self._stop.is_set():
            try:
                found = read()
            except Exception as error:  # any error of a reader is a fault
                self.faults.append(f"{read.__name__} failed: {str(error)[:160]}")
                return
            self.reads += 1
            if frozenset(found) not in self.states or len(found) != len(set(found)):
                distinct = len(set(found))
                self.faults.append(f"{read.__name__} saw {len(found)} ids, {distinct} distinct")
                return

    def _with_deltalake(self) -> list[str]:
        table = DeltaTable(self._uri, storage_options=self._options)
        ids: list[str] = table.to_pyarrow_table(columns=["id"]).column("id").to_pylist()
        return ids

    def _with_duckdb(self) -> list[str]:
        (rows,) = with_duckdb(self._uri, [None])
        return [row["id"] for row in rows]

    def _with_polars(self) -> list[str]:
        return pl.read_delta(self._uri, storage_options=self._options)["id"].to_list()
