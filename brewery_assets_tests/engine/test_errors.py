"""The messages of engine errors."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pyspark.errors import PySparkException

from brewery_assets.engine.errors import message_of
from demo.s3 import free_port


def test_the_error_of_a_connection_is_only_its_cause() -> None:
    with (
        grpc.insecure_channel(f"127.0.0.1:{free_port()}") as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    said = message_of(PySparkException(str(refused.value)))
    assert "Connection refused" in said
    assert "\n" not in said
    assert "status =" not in said


def test_any_other_error_is_shown_whole() -> None:
    assert message_of(PySparkException("[CAST_INVALID_INPUT]\nno number")) == (
        "[CAST_INVALID_INPUT]\nno number"
    )
