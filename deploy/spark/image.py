"""Adds the jars of S3A and the settings to the image of Apache Spark.

Spark's package resolver fetches the jars once, when the image is built.
"""

import os
import shutil
from pathlib import Path

import s3a
from pyspark.sql import SparkSession

SPARK = Path("/opt/spark")
FETCHED = Path("/tmp/ivy")  # noqa: S108  # in the image's build stage, which is not shared
# Hadoop replaces these with variables of the container's environment.
PLACE = {"AWS_REGION": "${env.AWS_REGION}", "AWS_ENDPOINT_URL": "${env.AWS_ENDPOINT_URL}"}


def main() -> None:
    """Writes conf/spark-defaults.conf, and fetches the jars into jars-s3a/."""
    os.environ["SPARK_HOME"] = str(SPARK)
    builder = SparkSession.builder.master("local[1]").config("spark.jars.ivy", str(FETCHED))
    for name, value in s3a.JARS.items():
        builder = builder.config(name, value)
    builder.getOrCreate().stop()
    shutil.copytree(FETCHED / "jars", SPARK / "jars-s3a")
    settings = {name: value for name, value in s3a.settings(PLACE).items() if name not in s3a.JARS}
    settings |= {
        "spark.executor.memory": "1536m",
        "spark.executor.logs.rolling.strategy": "size",
        "spark.executor.logs.rolling.maxSize": str(16 * 2**20),
        "spark.executor.logs.rolling.maxRetainedFiles": "3",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
    }
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (SPARK / "conf").mkdir()
    (SPARK / "conf" / "spark-defaults.conf").write_text("".join(lines))


if __name__ == "__main__":
    main()
