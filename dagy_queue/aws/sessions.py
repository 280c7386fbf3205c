"""boto3 sessions that read botocore's models once for the whole process. Whatever makes clients calls it.

A session is not safe to make clients from in several threads, so each client gets one of its own. What a session
reads, however (endpoints, partitions, a service's operations: some 50 ms of CPU a client), is the same in all of them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3.session
    import botocore.loaders


def new_session(**options: Any) -> boto3.session.Session:
    """Return a new session; the options are boto3's. Raises botocore's errors."""
    import boto3.session
    import botocore.session

    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=session, **options)


@cache
def _loader() -> botocore.loaders.Loader:
    """Return the loader that a session would make for itself: it knows AWS_DATA_PATH."""
    import botocore.session

    found: botocore.loaders.Loader = botocore.session.Session().get_component("data_loader")
    return found
