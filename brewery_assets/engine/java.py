"""Finds a Java that Apache Spark supports."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Spark 4.1 needs 17. The Hadoop 3.4.2 inside PySpark 4.1.2 fails on 23 and newer (HADOOP-19212).
SPARK_4_1 = range(17, 23)
SPARK_3_5 = range(8, 18)  # its documentation says "Java 8/11/17"
PREFERRED = (21, 17)
PLACES = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk@*/libexec/openjdk.jdk/Contents/Home",
    "/opt/java/*",
    "~/.sdkman/candidates/java/*",
)


class Java(NamedTuple):
    """A Java with a supported version.

    Attributes:
        home: the value for JAVA_HOME; None if the Java on the PATH is supported.
        version: its major version.
    """

    home: str | None
    version: int


class NoJavaError(Exception):
    """There is no supported Java; the message says what was found and what to do."""


def find_java(fitting: range = SPARK_4_1) -> Java:
    """The Java of JAVA_HOME; if that is not set, the one on the PATH, or one in the usual folders.

    Raises:
        NoJavaError: none of these has a supported version.
    """
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=f"{home}/bin" if home else None)
    version = _version_of(program) if program else None
    if version is not None and version in fitting:
        return Java(home, version)
    if not home and (elsewhere := _elsewhere(fitting)):
        return elsewhere
    if program is None:
        found = "there is none in JAVA_HOME or on the PATH"
    elif version is None:
        found = f"{program} does not say its version"
    else:
        found = f"{program} is version {version}"
        if version > fitting[-1]:
            found += ", which Spark's Hadoop does not support"
    instead = " or ".join(str(major) for major in PREFERRED if major in fitting)
    raise NoJavaError(
        f"Apache Spark needs Java {fitting[0]} to {fitting[-1]}, and {found}; "
        f"install Java {instead}" + (", or correct JAVA_HOME" if home else "")
    )


def _elsewhere(fitting: range) -> Java | None:
    """The preferred one of the installed versions, else the newest supported one."""
    found = {java.version: java for java in sorted(_installed()) if java.version in fitting}
    order = [*(major for major in PREFERRED if major in found), *sorted(found, reverse=True)]
    return found[order[0]] if order else None


def _installed() -> Iterator[Java]:
    for pattern in PLACES:
        for home in Path("/").glob(str(Path(pattern).expanduser()).lstrip("/")):
            program = home / "bin" / "java"
            if program.is_file() and (version := _version_of(str(program))):
                yield Java(str(home), version)


def _version_of(program: str) -> int | None:
    """The major version, from 8 on; None if the program prints none, like macOS's placeholder."""
    try:
        answer = subprocess.run(
            [program, "-version"], check=False, capture_output=True, text=True, timeout=30
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(version[1]) if version else None
