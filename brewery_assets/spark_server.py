"""An Apache Spark Connect server on this machine: `python -m brewery_assets.spark_server`.

It needs Java 17 to 22. Its S3 is that of AWS_ENDPOINT_URL, AWS_REGION and the AWS credentials
in force; what a run then says with SPARK_REMOTE=sc://127.0.0.1:15002 decides nothing about that.
"""

import argparse
import os
import sys

from botocore.exceptions import BotoCoreError

from brewery_assets import spark_s3a
from brewery_assets.aws import Aws, why
from brewery_assets.java import NoJavaError, find_java
from brewery_assets.spark_engines import CONNECT_PORT, LOCAL_SPARK, LOOPBACK

SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


def main() -> None:
    """Becomes the server, or says why it cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=LOOPBACK, help=f"default {LOOPBACK}")
    parser.add_argument("--port", type=int, default=CONNECT_PORT, help=f"default {CONNECT_PORT}")
    parser.add_argument("--master", default="local[*]", help="default local[*]")
    options = parser.parse_args()
    try:
        java = find_java()
    except NoJavaError as error:
        sys.exit(str(error))
    try:
        s3 = Aws(region=os.environ.get("AWS_REGION")).engine_settings()
    except (BotoCoreError, ValueError) as error:
        sys.exit(why(error))
    settings = {
        "spark.connect.grpc.binding.address": options.host,
        "spark.connect.grpc.binding.port": str(options.port),
        **spark_s3a.settings(s3),
    }
    os.environ.update({name: value for name, value in s3.items() if value})
    if java.home:
        os.environ["JAVA_HOME"] = java.home
    print(f"Java {java.version}" + (f" in {java.home}" if java.home else ""), flush=True)
    os.environ.pop("SPARK_REMOTE", None)  # spark-submit would take it for its own
    os.environ["SPARK_HOME"] = LOCAL_SPARK["SPARK_HOME"]
    if options.host == LOOPBACK:
        os.environ["SPARK_LOCAL_IP"] = LOOPBACK
    submit = f"{os.environ['SPARK_HOME']}/bin/spark-submit"
    configured = [part for item in settings.items() for part in ("--conf", "=".join(item))]
    command = [submit, "--class", SERVER, "--master", options.master, *configured, "spark-internal"]
    os.execv(submit, command)


if __name__ == "__main__":
    main()
