"""What a warm fork server does once, before forking, that every child would do again; ``main.py`` offers it."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from dagy_worker.aws import session


def preload() -> None:
    """Import the worker, and for flows that use boto3 parse AWS's models of S3 in its default session.

    No connection is opened and no credentials, region or endpoint are looked up: children read those from their own
    environment.
    """
    import boto3

    for name in (
        "dagy.dags",
        "dagy.function_flows",
        "dagy.tasks",
        "dagy_worker.archives.tar_files",
        "dagy_worker.requirements",
    ):
        import_module(name)
    boto3.setup_default_session(botocore_session=session())
    _warm()


def _warm() -> None:
    """Make a client and have it answered by ourselves, which loads everything that first requests need."""
    credentials: dict[str, Any] = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
    client: Any = session().create_client("s3", region_name="us-east-1", **credentials)
    client.meta.events.register("before-send.s3", _answer)
    client.put_object(Bucket="warm", Key="up", Body=b"-")
    client.get_object(Bucket="warm", Key="up")["Body"].read()


class _Body(io.BytesIO):
    def stream(self, amount: int = 1 << 16, **_: Any) -> Any:
        while chunk := self.read(amount):
            yield chunk


def _answer(request: Any, **_: Any) -> Any:
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    return AWSResponse(request.url, 200, HTTPHeaders(), _Body(b""))
