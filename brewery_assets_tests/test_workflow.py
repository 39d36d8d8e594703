"""The workflow for forks: GitHub accepts its syntax, and it runs the documented commands."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from brewery_assets_tests.checkout import ROOT

FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["jobs"]
    return found


def test_github_accepts_its_syntax() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    checked = subprocess.run(
        [*command, "vendor.github-workflows", str(FILE)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_it_runs_each_command_of_contributing_and_the_quick_one_on_every_python(
    jobs: dict[str, Any],
) -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    commands = {name: job["steps"][-1]["run"] for name, job in jobs.items()}
    assert commands.keys() == {*re.findall(r"`make ((?:quick|run)_test\w*)`", contributing)}
    for name, command in commands.items():
        assert re.search(rf"^make .*\b{name}\b", command)
    pythons = jobs["quick_test"]["strategy"]["matrix"]["python"]
    (bounds,) = re.findall(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text()
    )
    assert pythons == [f"3.{minor}" for minor in range(*map(int, bounds))]


def test_it_may_only_read_and_its_actions_are_pinned_by_version(jobs: dict[str, Any]) -> None:
    text = FILE.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    assert all("timeout-minutes" in job for job in jobs.values())
