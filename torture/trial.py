"""One trial of a campaign: what it does to a world, and how it ended."""

from collections.abc import Callable
from typing import NamedTuple

from torture.world import Ended, World


class Outcome(NamedTuple):
    """How a trial's run ended.

    Attributes:
        result: for the table: `published`, `refused`, `killed`, or a few words.
        faults: what the trial itself found to be wrong.
        detail: why, if it was refused.
    """

    result: str
    faults: tuple[str, ...] = ()
    detail: str = ""


class Trial(NamedTuple):
    """What is tried.

    Attributes:
        campaign: the name that `--only` selects.
        place: where the lake is: `folder` or `s3`.
        name: what is done, in a few words.
        act: does it, and waits for the end.
        may_move: the source changes by itself, so silver may have any rows between the two states.
    """

    campaign: str
    place: str
    name: str
    act: Callable[[World], Outcome]
    may_move: bool = False


def outcome(ended: Ended, *faults: str) -> Outcome:
    """The outcome of a run that nothing has killed."""
    if ended.code < 0:
        return Outcome("too long", (*faults, "the run did not end by itself"))
    return Outcome("refused" if ended.code else "published", faults, ended.cause)


def run(world: World) -> Outcome:
    """Runs the pipeline as the trial left its world."""
    return outcome(world.run())
