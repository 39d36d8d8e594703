"""kill -9 at random moments: of a run, of the S3 server, of an Apache Spark server."""

import time
from collections.abc import Iterator
from random import Random

from brewery_assets.engine.java import SPARK_4_1, NoJavaError, find_java
from brewery_assets_tests.spark_servers import SparkServer
from demo.s3 import S3Server
from torture.trial import Outcome, Trial, outcome
from torture.world import Universe, World

KILLED = {"folder": 100, "s3": 60}
SERVERS_KILLED = 20
SPARKS_KILLED = 10
AWAY = 3.0  # seconds that a killed server is away


def of_runs(universe: Universe, random: Random) -> Iterator[Trial]:
    """A run is killed with its engine."""
    for place, number in KILLED.items():
        for _ in range(number):
            share = random.uniform(0.1, 1.1)

            def act(world: World, share: float = share) -> Outcome:
                running = world.start()
                if running.kill(share * universe.seconds):
                    return Outcome("killed")
                return outcome(running.wait())

            yield Trial("kill-run", place, f"kill -9 at {share:.0%} of a run", act)


def of_s3(universe: Universe, random: Random) -> Iterator[Trial]:
    """The S3 server is killed, and started again while the run waits for it."""
    for _ in range(SERVERS_KILLED):
        share = random.uniform(0.3, 1.0)

        def act(world: World, share: float = share) -> Outcome:
            return _killed_meanwhile(world, universe.s3, share * universe.seconds)

        yield Trial("kill-s3", "s3", f"server killed at {share:.0%} of a run, away {AWAY:g} s", act)


def of_spark(universe: Universe, random: Random) -> Iterator[Trial]:
    """An Apache Spark Connect server is killed; the run's frames and session die with it."""
    try:
        find_java(SPARK_4_1)
    except NoJavaError:
        return
    for _ in range(SPARKS_KILLED):
        share = random.uniform(0.3, 1.5)

        def act(world: World, share: float = share) -> Outcome:
            spark = SparkServer({})
            spark.start()
            try:
                running = world.start(SPARK_REMOTE=spark.remote)
                time.sleep(share * universe.seconds)
            finally:
                spark.stop()
            return outcome(running.wait())

        yield Trial("kill-spark", "folder", f"Spark killed at {share:.0%} of a run", act)


def _killed_meanwhile(world: World, server: S3Server, after: float) -> Outcome:
    running = world.start()
    time.sleep(after)
    server.kill()
    time.sleep(AWAY)
    server.start()
    return outcome(running.wait())
