"""The messages of the stack's commands if something is missing; no test needs a container."""

import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from brewery_assets_tests.checkout import ROOT, stand_ins
from brewery_assets_tests.stack import Stack

NEEDED = (
    *("bash", "make", "cat", "chmod", "cp", "dirname", "head"),
    *("od", "sed", "sort", "tail", "tr", "xargs"),
)
SECRETS = ("STACK_S3_ACCESS_KEY", "STACK_S3_SECRET_KEY", "STACK_POSTGRES_PASSWORD")
Programs = Callable[..., None]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "checkout")


@pytest.fixture
def programs(stack: Stack, tmp_path: Path) -> Programs:
    """Reduces PATH to the common programs and these, which are scripts."""

    def leave(**scripts: str) -> None:
        scripts = {name.replace("_", "-"): script for name, script in scripts.items()}
        stack.environment["PATH"] = stand_ins(tmp_path / "bin", NEEDED, **scripts)

    return leave


@pytest.mark.parametrize("target", ["build", "start_environment", "stop_environment"])
def test_without_docker_one_line_says_so(stack: Stack, programs: Programs, target: str) -> None:
    programs()
    code, said = stack.make(target)
    assert code != 0
    assert said.startswith("Docker is missing: install it, with its compose plugin\n")
    assert not (stack.folder / ".env").exists()


def test_without_compose_one_line_says_so(stack: Stack, programs: Programs) -> None:
    programs(docker="exit 1")
    code, said = stack.make("build")
    assert code != 0
    assert said.startswith("Docker's compose plugin is missing: install it ")


def test_an_engine_that_does_not_answer_is_reported(stack: Stack, programs: Programs) -> None:
    programs(docker='[ "$1" = compose ]')
    code, said = stack.make("start_environment")
    assert code != 0
    assert said.startswith(
        "Docker does not answer: start it, or check your access with docker info"
    )


def test_a_taken_port_is_named_with_the_setting_that_changes_it(
    stack: Stack, programs: Programs
) -> None:
    programs(docker="exit 0")
    with socket.create_server(("127.0.0.1", stack.web_port)):
        code, said = stack.make("start_environment")
    assert code != 0
    assert f"Port {stack.web_port} is taken: " in said
    assert "STACK_WEBSERVER_PORT=… in .env\n" in said


def test_an_image_that_was_not_built_is_reported(stack: Stack, programs: Programs) -> None:
    programs(docker='[ "$1" != image ]')
    code, said = stack.make("start_environment")
    assert code != 0
    assert "There is no image brewery-assets-dagster:0.2.0: run make build\n" in said


def test_an_existing_env_file_is_kept_and_its_missing_secrets_are_named(
    stack: Stack, programs: Programs
) -> None:
    mine = f"{SECRETS[1]}=mine\nLAKE_URI=elsewhere"
    (stack.folder / ".env").write_text(mine)
    programs(docker="exit 0")
    code, said = stack.make("build")
    assert code != 0
    assert f".env lacks {SECRETS[0]} {SECRETS[2]}: the line above adds them\n" in said
    line = said.splitlines()[0]
    stack.environment["PATH"] = os.environ["PATH"]
    stack.ended(stack.start("bash", "-c", line))
    kept = (stack.folder / ".env").read_text()
    assert kept.startswith(f"{mine}\n")
    assert stat.S_IMODE((stack.folder / ".env").stat().st_mode) == 0o600
    assert re.findall(r"^(STACK_\w+)=[0-9a-f]{48}$", kept, re.MULTILINE) == [SECRETS[0], SECRETS[2]]


def test_an_invalid_number_of_workers_is_refused(stack: Stack, programs: Programs) -> None:
    programs(docker="exit 0")
    code, said = stack.make("start_environment", "STACK_SPARK_WORKERS=many")
    assert code != 0
    assert "STACK_SPARK_WORKERS=many: allowed is a whole number, 1 to 99\n" in said


def test_settings_are_read_as_compose_reads_them(stack: Stack, programs: Programs) -> None:
    del stack.environment["STACK_WEBSERVER_PORT"]
    programs(docker="exit 0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for written in (f'"{port}"', f"'{port}'", f"{port} # mine", f"{port}\r"):
            lines = (f"STACK_WEBSERVER_PORT={written}", *(f"{name}=x" for name in SECRETS))
            (stack.folder / ".env").write_text("\n".join(lines))
            code, said = stack.make("start_environment")
            assert code != 0
            assert f"Port {port} is taken: " in said


def test_no_new_secrets_are_created_for_existing_data(stack: Stack, programs: Programs) -> None:
    programs(docker='[ "$1" != volume ] || echo brewery_assets_postgres')
    code, said = stack.make("build")
    assert code != 0
    assert said.startswith("There is no .env, but the data of a stack that had one: restore .env,")
    assert not (stack.folder / ".env").exists()


def test_the_settings_of_the_stack_are_in_the_documentation_and_in_env_example() -> None:
    used = {
        name
        for file in ("docker-compose.yml", "deploy/stack")
        for name in re.findall(r"\bSTACK_[A-Z0-9_]+", (ROOT / file).read_text())
    } - {*SECRETS}
    example = (ROOT / ".env.example").read_text()
    settings = (ROOT / "docs" / "settings.md").read_text()
    assert {name for name in used if f"#{name}=" in example} == used
    assert {name for name in used if f"`{name}`" in settings} == used
