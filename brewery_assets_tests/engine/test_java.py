"""Which Java Apache Spark uses, and the error if none fits."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brewery_assets.engine import java
from brewery_assets.engine.engines import ApacheSpark
from brewery_assets.engine.java import SPARK_3_5, Java, NoJavaError, find_java

Install = Callable[[str, str], Path]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Hides every Java of this machine; the function installs one in a temporary folder."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "PLACES", (f"{tmp_path}/jvm/*",))

    def install(name: str, script: str) -> Path:
        program = tmp_path / name / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program.parents[1]

    return install


def says(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2026-01-20' >&2"


def on_path(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PATH", f"{home}/bin")


def test_the_java_on_the_path_is_used_if_it_fits(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, install("mine", says("18.0.2")))
    install("jvm/java-21", says("21.0.1"))
    assert find_java() == Java(None, 18)


def test_otherwise_java_21_or_17_of_the_system_is_used_and_the_log_names_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, install("mine", says("25.0.1")))
    install("jvm/java-8", says("1.8.0_202"))
    of_17 = install("jvm/java-17", says("17.0.15"))
    install("jvm/java-22", says("22"))
    assert find_java() == Java(str(of_17), 17)
    of_21 = install("jvm/java-21", says("21.0.1"))
    assert find_java() == Java(str(of_21), 21)
    assert ApacheSpark("local[2]", None).name == f"local[2] on Java 21 in {of_21}"


def test_a_java_that_does_not_start_is_skipped(install: Install) -> None:
    damaged = install("jvm/java-21", "") / "bin" / "java"
    damaged.write_bytes(b"\0")
    of_17 = install("jvm/java-17", says("17.0.15"))
    assert find_java() == Java(str(of_17), 17)


def test_spark_3_5_uses_an_older_java(install: Install) -> None:
    of_8 = install("jvm/java-8", says("1.8.0_202"))
    install("jvm/java-21", says("21.0.1"))
    assert find_java(SPARK_3_5) == Java(str(of_8), 8)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("exit 1", "does not say its version"),
        (says("11.0.2"), "is version 11"),
        (says("1.8.0_202"), "is version 8"),
        (says("25.0.1"), "is version 25, which Spark's Hadoop does not support"),
    ],
)
def test_a_java_home_that_does_not_fit_is_an_error_and_not_skipped(
    install: Install, monkeypatch: pytest.MonkeyPatch, script: str, found: str
) -> None:
    home = install("mine", script)
    install("jvm/java-21", says("21.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(NoJavaError) as error:
        find_java()
    assert str(error.value) == (
        f"Apache Spark needs Java 17 to 22, and {home}/bin/java {found}; install Java 21 or 17, "
        "or correct JAVA_HOME"
    )
