"""The settings of Apache Spark for files on S3: Hadoop's S3A with the magic committer."""

from collections.abc import Mapping

import pyspark

HADOOP = "3.4.2"  # the version that PySpark 4.1 ships
AWS_SDK = "2.29.52"
PACKAGES = (
    f"org.apache.spark:spark-hadoop-cloud_2.13:{pyspark.__version__}",
    f"org.apache.hadoop:hadoop-aws:{HADOOP}",
    *(f"software.amazon.awssdk:{name}:{AWS_SDK}" for name in ("s3", "s3-transfer-manager", "sts")),
)
# What PySpark already ships, other clouds, and the SDK for all of AWS: 15 MB instead of 600 MB.
EXCLUDED = (
    "software.amazon.awssdk:bundle",
    *(
        f"org.apache.hadoop:hadoop-{name}"
        for name in (
            "client-runtime",
            "client-api",
            "azure",
            "huaweicloud",
            "cloud-storage",
            "aliyun",
            "azure-datalake",
        )
    ),
    "com.google.cloud.bigdataoss:gcs-connector",
    "org.wildfly.openssl:wildfly-openssl",
    "io.netty:*",
    "org.slf4j:*",
    "commons-logging:*",
    "commons-codec:*",
)
JARS = {
    "spark.jars.packages": ",".join(PACKAGES),
    "spark.jars.excludes": ",".join(EXCLUDED),
}
# A task's files appear when the job commits and completes the uploads: nothing is renamed on S3.
COMMITTER = {
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.hadoop.fs.s3a.committer.magic.track.commits.in.memory.enabled": "true",
    "spark.sql.sources.commitProtocolClass": (
        "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol"
    ),
    "spark.sql.parquet.output.committer.class": (
        "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
    ),
}

# These save a third of the requests. A snapshot's folder is new, so nothing has to be checked
# before a write, and one listing shows all files below the folder.
FEWER_REQUESTS = {
    "spark.hadoop.fs.s3a.performance.flags": "create, mkdir, delete",
    "spark.sql.sources.useListFilesFileSystemList": "s3a,s3",
}

# The pauses double from half a second, each with a jitter of ±50% (HADOOP-16499). Eight pauses take
# 127 s on average, and at least a minute. Seven, the default, may take half of that.
PATIENCE = {
    "spark.hadoop.fs.s3a.retry.limit": "8",
    "spark.hadoop.fs.s3a.retry.interval": "500ms",
}


def settings(aws: Mapping[str, str]) -> dict[str, str]:
    """Spark's settings for S3; credentials stay in the environment, where S3A finds them.

    Args:
        aws: as returned by `Aws.engine_settings`.
    """
    found = {**JARS, **COMMITTER, **FEWER_REQUESTS, **PATIENCE}
    if region := aws.get("AWS_REGION"):
        found["spark.hadoop.fs.s3a.endpoint.region"] = region
    if endpoint := aws.get("AWS_ENDPOINT_URL"):
        found |= {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https")).lower(),
        }
    return found
