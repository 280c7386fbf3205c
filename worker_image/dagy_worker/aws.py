"""botocore as the worker uses it: one session, clients that are made from it, and its errors as ours.

``storage.py`` and ``dynamodb.py`` ask by it. botocore is imported when the first client is made: it costs more than
all else that the worker imports (docs/performance.md). The session, with the service models that it has parsed,
survives a fork: the flow's process makes its clients in a few milliseconds, and so does the child of a warm fork
server. Clients hold connections, so that each process makes its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from botocore.session import Session


class AwsError(Exception):
    """A call failed: AWS could not be reached, or this side could not ask."""


class AwsRefused(AwsError):
    """AWS answered with an error; ``code`` is its own name for it."""

    def __init__(self, message: str, *, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Patience(NamedTuple):
    """How long a call may take: seconds to connect and for each piece of an answer, and how often it is tried."""

    connect: float
    read: float
    attempts: int

    def until(self, deadline: float | None) -> Patience:
        """Return what is left of it before a ``time.monotonic()``, after which nobody is there to try again."""
        if deadline is None:
            return self
        left = max(0.1, deadline - time.monotonic()) / 2
        return Patience(min(self.connect, left), min(self.read, left), 1)


@cache
def session() -> Session:
    """Return the process's session."""
    from botocore.session import get_session

    return get_session()


def make_client(service: str, environ: Mapping[str, str], patience: Patience) -> Any:
    """Return a client of a service. Raises AwsError.

    ECS sets AWS_REGION, which botocore does not read. Without it the choice is left to botocore's own sources.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    _errors()  # before a flow has the chance to meddle with imports
    with errors_mapped():
        return session().create_client(service, region_name=region, config=_config(patience))


@contextmanager
def errors_mapped() -> Iterator[None]:
    """Run calls of botocore. Raises AwsError where they fail, AwsRefused where AWS said so."""
    refused, failed = _errors()
    try:
        yield
    except refused as exc:
        error = exc.response.get("Error", {})
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise AwsRefused(str(exc), code=str(error.get("Code", "")), status=status) from exc
    except failed as exc:  # ValueError: of an endpoint that is no URL
        raise AwsError(str(exc)) from exc


@cache
def _errors() -> tuple[type[ClientError], tuple[type[Exception], ...]]:
    """Return what botocore raises: where AWS refuses, and where it cannot be asked."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return ClientError, (BotoCoreError, ResponseParserError, ValueError)


def require_time(deadline: float | None) -> None:
    """Raise AwsError if a ``time.monotonic()`` has passed."""
    if deadline is not None and time.monotonic() >= deadline:
        raise AwsError("no time is left to ask AWS")


def _config(patience: Patience) -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
