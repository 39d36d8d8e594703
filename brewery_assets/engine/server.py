"""An Apache Spark Connect server on this machine: `python -m brewery_assets.engine.server`.

It needs Java 17 to 22. Clients need its token, which is random unless
SPARK_CONNECT_AUTHENTICATE_TOKEN is set. The server uses the S3 of AWS_ENDPOINT_URL, AWS_REGION and
the current AWS credentials; the settings of a run that uses the server do not change that.
"""

import argparse
import os
import secrets
import sys
from urllib.parse import quote

from botocore.exceptions import BotoCoreError

from brewery_assets.aws import Aws, why
from brewery_assets.engine import s3a
from brewery_assets.engine.engines import CONNECT_PORT, LOCAL_SPARK, LOOPBACK
from brewery_assets.engine.java import NoJavaError, find_java
from brewery_assets.settings import Settings

SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105  # the variable's name, which Spark reads


def main() -> None:
    """Replaces this process with the server, or exits and says why it cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=CONNECT_PORT, help=f"default {CONNECT_PORT}")
    parser.add_argument("--master", default="local[*]", help="default local[*]")
    options = parser.parse_args()
    try:
        java = find_java()
    except NoJavaError as error:
        sys.exit(str(error))
    try:
        s3 = Aws(region=Settings.from_environment().aws_region).engine_settings()
    except (BotoCoreError, ValueError) as error:
        sys.exit(why(error))
    settings = {
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": str(options.port),
        **s3a.settings(s3),
    }
    if options.master.startswith("local"):  # Spark then creates the secret of its other ports
        settings["spark.authenticate"] = "true"
    os.environ.update({name: value for name, value in s3.items() if value})
    if java.home:
        os.environ["JAVA_HOME"] = java.home
    print(f"Java {java.version}" + (f" in {java.home}" if java.home else ""))
    os.environ.pop("SPARK_REMOTE", None)  # otherwise spark-submit would use it
    os.environ |= LOCAL_SPARK
    # In the environment, because other accounts can read the command line.
    token = os.environ.setdefault(TOKEN, secrets.token_urlsafe())
    # PySpark sends a token without TLS to localhost only, not to 127.0.0.1.
    print(
        f"SPARK_REMOTE='sc://localhost:{options.port}/;token={quote(token, safe='')}'", flush=True
    )
    submit = f"{os.environ['SPARK_HOME']}/bin/spark-submit"
    configured = [part for item in settings.items() for part in ("--conf", "=".join(item))]
    command = [submit, "--class", SERVER, "--master", options.master, *configured, "spark-internal"]
    os.execv(submit, command)


if __name__ == "__main__":
    main()
