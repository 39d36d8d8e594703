"""Installation: which Python is used, and the message if something is missing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import ROOT, stand_ins
from demo.s3 import free_port

NEEDED = ("bash", "dirname", "awk", "cut", "grep", "touch")
WAY_OUT = (
    "Install it (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python) "
    "or name one: PYTHON=python3.12\n"
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one of the project's scripts with a PATH of these programs, themselves scripts."""

    def run(*command: str, **programs: str) -> tuple[int, str, str]:
        programs = {name.replace("_", "."): script for name, script in programs.items()}
        path = stand_ins(tmp_path / "bin", NEEDED, **programs)
        ended = subprocess.run(
            [f"{path}/bash", f"{ROOT}/scripts/{command[0]}", *command[1:]],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": path, "PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/"},
        )
        return ended.returncode, ended.stdout, ended.stderr

    return run


def test_python3_is_used_if_its_version_fits(run: Run) -> None:
    assert run("python", "", python3="echo 3.14.8", python3_13="echo 3.13.1") == (
        0,
        "python3\n",
        "",
    )


@pytest.mark.parametrize("lacking", ["3.9.2", "3.15.0", "3.11.2 without venv"])
def test_otherwise_the_newest_fitting_python_is_used_and_named(run: Run, lacking: str) -> None:
    assert run(
        "python",
        "",
        python3=f"echo {lacking}",
        python3_13="echo 'pyenv: python3.13: command not found' >&2; exit 127",  # a shim
        python3_12="echo 3.12.1",
        python3_11="echo 3.11.7",
    ) == (0, "python3.12\n", f"python3 is {lacking}: using python3.12, which is 3.12.1\n")


def test_if_no_python_fits_one_sentence_says_what_was_found(run: Run) -> None:
    code, printed, said = run(
        "python",
        "",
        python3="echo 3.9.2",
        python3_12="exit 1",
        python3_11="echo 3.11.2 without venv",
    )
    assert (code, printed) == (1, "")
    assert said == (
        "Python 3.10 to 3.14 with venv is needed, but python3 is 3.9.2, "
        f"python3.11 is 3.11.2 without venv. {WAY_OUT}"
    )


def test_if_there_is_no_python_the_error_says_so(run: Run) -> None:
    assert run("python", "") == (
        1,
        "",
        "Python 3.10 to 3.14 with venv is needed, but python3 is missing or does not start. "
        + WAY_OUT,
    )


def test_a_python_named_by_the_user_is_not_replaced(run: Run) -> None:
    code, _, said = run("python", "python3.9", python3="echo 3.12.1", python3_9="echo 3.9.2")
    assert code == 1
    assert "but python3.9 is 3.9.2. " in said


def test_the_version_of_a_real_interpreter_is_checked(run: Run) -> None:
    assert run("python", sys.executable) == (0, f"{sys.executable}\n", "")


def test_too_little_disk_space_is_reported_before_anything_is_installed(
    run: Run, tmp_path: Path
) -> None:
    code, _, said = run(
        *("install", sys.executable, str(tmp_path / "venv")), df="echo; echo '/dev/x 9 9 400 9% /'"
    )
    assert code == 1
    assert said == (
        f"Installing needs 1.3 GB in {ROOT}, but only 400 MB are free: make room, or clone to "
        "another disk\n"
    )
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow("makes a virtual environment")
def test_an_unreachable_package_index_is_reported(run: Run, tmp_path: Path) -> None:
    code, _, said = run(
        *("install", sys.executable, str(tmp_path / "venv")), df="echo; echo '/dev/x 9 9 4000 9% /'"
    )
    assert code == 1
    assert said.startswith("pip could not install uv: check that the package index is reachable. ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "venv" / "installed").exists()


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("1000", "making a system needs root: sudo make fresh_test"),
        ("0", "debootstrap is missing (Debian and Ubuntu: apt install debootstrap)"),
    ],
)
def test_make_fresh_test_says_what_it_needs(run: Run, user: str, why: str) -> None:
    said = f"make fresh_test: {why}\n"
    assert run("fresh_test", "forky", "quick_test", id=f"echo {user}") == (1, "", said)
