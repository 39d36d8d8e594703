"""dagster-aws's S3 resource, with limits to its patience."""

from typing import Any

import boto3
from botocore.config import Config
from dagster_aws.s3 import S3Resource

from brewery_assets.aws import PATIENCE


class S3(S3Resource):
    """An S3Resource whose client does not wait for minutes; nothing else of it can be set."""

    def get_client(self) -> Any:
        return boto3.Session(profile_name=self.profile_name).client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            config=Config(**PATIENCE),
        )
