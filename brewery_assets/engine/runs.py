"""The state of the run that a resource is set up for."""

import dagster as dg


def is_over(context: dg.InitResourceContext) -> bool:
    """Whether the run has ended: `dagster job execute` sets up its resources again after that."""
    if context.run is None or context.instance is None:
        return False
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.is_finished
