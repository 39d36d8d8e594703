"""How much memory a run may use, and the error of the steps that work in Python."""

import os
from pathlib import Path

import pytest

from brewery_assets import memory
from brewery_assets.memory import memory_allowed
from brewery_assets_tests.conftest import LAYERS, Pipeline, failure_of

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("membership", "limits", "allowed"),
    [
        pytest.param("0::/", {}, MACHINE, id="no limit"),
        pytest.param(
            "0::/system.slice/dagster.service",
            {"system.slice/dagster.service/memory.max": "max", "system.slice/memory.max": "5000"},
            5000,
            id="a service, version 2",
        ),
        pytest.param("0::/", {"memory.max": "4000"}, 4000, id="a container, version 2"),
        pytest.param(
            "3:cpu,cpuacct:/docker/1a2b\n2:memory:/docker/1a2b\n0::/",
            {"memory/memory.limit_in_bytes": "3000"},
            3000,
            id="a container that sees its own group as the root, version 1",
        ),
        pytest.param(
            "2:memory:/",
            {"memory/memory.limit_in_bytes": str(2**63 - 4096)},
            MACHINE,
            id="no limit, version 1",
        ),
    ],
)
def test_the_lowest_limit_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], allowed: int
) -> None:
    own = tmp_path / "membership"
    own.write_text(f"{membership}\n")
    for name, limit in limits.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    assert memory_allowed(tmp_path / "groups", own) == allowed


def test_without_control_groups_the_memory_of_the_machine_counts(tmp_path: Path) -> None:
    assert memory_allowed(tmp_path / "none", tmp_path / "none") == MACHINE


def test_more_breweries_than_fit_into_the_memory_are_an_error(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run()
    published = {layer: pipeline.lake.snapshots(layer) for layer in LAYERS}
    monkeypatch.setattr(memory, "IN_PYTHON", MACHINE)
    for asset in ("bronze_breweries", "suspect_breweries"):
        failure = failure_of(pipeline.run(asset, fails=True))
        assert "breweries need about" in failure
        assert "MB are allowed here: give this machine or its container more" in failure
    assert published == {layer: pipeline.lake.snapshots(layer) for layer in LAYERS}
