"""GitHub's files: their syntax is valid, and the workflow runs the documented commands."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from brewery_assets_tests.checkout import ROOT

FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["jobs"]
    return found


TEMPLATES = FILE.parents[1] / "ISSUE_TEMPLATE"


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", FILE),
        ("github-issue-config", TEMPLATES / "config.yml"),
        ("github-issue-forms", TEMPLATES / "bug_report.yml"),
        ("github-issue-forms", TEMPLATES / "feature_request.yml"),
    ],
)
def test_github_accepts_the_syntax(schema: str, file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    checked = subprocess.run(
        [*command, f"vendor.{schema}", str(file)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def test_ci_runs_each_test_command_of_contributing_and_quick_test_on_every_python(
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


def test_the_version_is_in_the_changelog_and_in_the_tags_of_the_images() -> None:
    (version,) = re.findall(
        r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert f"\n## [{version}] - 20" in (ROOT / "CHANGELOG.md").read_text()
    for file in ("docker-compose.yml", "deploy/demo.yml", "brewery_assets_tests/stack.yml"):
        tags = re.findall(r"image: brewery-assets-\w+:(\S+)", (ROOT / file).read_text())
        assert {*tags} == {version}
    assert {*re.findall(r'image\.version="(.+)"', (ROOT / "Dockerfile").read_text())} == {version}


def test_ci_has_only_read_permission_and_pins_the_versions_of_its_actions(
    jobs: dict[str, Any],
) -> None:
    text = FILE.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    assert all("timeout-minutes" in job for job in jobs.values())
