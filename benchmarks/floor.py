"""A job of three trivial assets: the time that Dagster's command takes without any work."""

import dagster as dg


@dg.asset
def one() -> int:
    """The number 1."""
    return 1


@dg.asset
def two(one: int) -> int:
    """The number 2."""
    return one + 1


@dg.asset
def three(two: int) -> int:
    """The number 3."""
    return two + 1


defs = dg.Definitions(
    assets=[one, two, three],
    jobs=[dg.define_asset_job("floor", selection="*")],
    resources={"io_manager": dg.mem_io_manager},
    executor=dg.in_process_executor,
)
