"""The licenses of what the lock files install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import ROOT


def licenses(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the script says of this environment and of the packages in a folder."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "licenses")],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_package_has_a_license_that_allows_any_use(tmp_path: Path) -> None:
    found = licenses(tmp_path)
    assert found.returncode == 0, found.stderr
    listed = {line.split()[0]: line.split(maxsplit=2)[2] for line in found.stdout.splitlines()}
    assert len(listed) > 100
    assert listed["pyspark"] == "Apache-2.0"
    assert "unknown" not in listed.values()


@pytest.mark.parametrize(
    "said",
    [
        "",
        "License-Expression: AGPL-3.0-only\n",
        "License: GPLv3\n",
        "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)\n",
    ],
)
def test_a_package_without_a_license_or_under_the_gpl_is_named(tmp_path: Path, said: str) -> None:
    folder = tmp_path / "strange-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: strange\nVersion: 1.0\n{said}")
    found = licenses(tmp_path)
    assert found.returncode == 1
    assert found.stderr == "Check the license of: strange\n"
