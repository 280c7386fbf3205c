"""What all PynamoDB models share: errors of ours instead of PynamoDB's and botocore's, and being bound on first use.

A process of the product calls ``records.models.bind_models`` with its settings. A user's program need not: the first
use of a model binds them all to the settings of the process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.models import Model

from dagy_queue.aws.errors import mapped
from dagy_queue.aws.refusals import NO_TABLE
from dagy_queue.errors import AwsRefused

BILLING = "PAY_PER_REQUEST"
"""How the tables are billed: a table that is not used costs nothing."""

_MAKE_TABLES = "`dagy-queue tables create` makes the tables and indexes that are missing"
_ABOUT_ITS_ENDPOINT = re.compile("endpoint|URL")
_binding = threading.Lock()


class Record(Model):
    """Base of the models. ``table_setting`` names the setting (of ``records``) that names the model's table."""

    table_setting: ClassVar[str]
    bound: ClassVar[bool] = False
    """True once ``bind_models`` was called; of this class alone, for all models."""
    only_org: ClassVar[str] = ""
    """The only org whose runs this process may read (``records.org_id``); '' is any. Of this class alone."""

    def save(self, condition: Condition | None = None, *, add_version_condition: bool = True) -> dict[str, Any]:
        """Write the item. Raises RequestInvalid if it may not be written so, or an AwsError."""
        with dynamodb("dynamodb:PutItem"):
            return super().save(condition, add_version_condition=add_version_condition)

    @classmethod
    def get(cls, *args: Any, **options: Any) -> Self:
        """Read one item by its keys. Raises the model's DoesNotExist, or an AwsError."""
        with dynamodb("dynamodb:GetItem"):
            return super().get(*args, **options)

    @classmethod
    def table(cls) -> TableConnection:
        """Return the connection to the model's table, for what PynamoDB's models have no method for."""
        return cls._get_connection()

    @classmethod
    def _get_connection(cls) -> TableConnection:
        bind_to_process()
        return super()._get_connection()


def bind_to_process() -> None:
    """Bind the models to the settings of the process, unless they are bound."""
    if Record.bound:
        return
    from dagy_queue.records.models import bind_models
    from dagy_queue.settings import settings

    with _binding:
        if not Record.bound:
            bind_models(settings())


def may_read(org_id: str) -> bool:
    """Tell whether this process may read an org's runs."""
    bind_to_process()
    return Record.only_org in ("", org_id)


@contextmanager
def dynamodb(operation: str) -> Iterator[None]:
    """Run calls of PynamoDB. It wraps botocore's errors in its own: they are unwrapped and mapped, once, here."""
    try:
        with mapped(operation), _unwrapped(operation):
            yield
    except AwsRefused as exc:
        if exc.code == NO_TABLE or "specified index" in str(exc):
            raise AwsRefused(f"{exc}; {_MAKE_TABLES}", code=exc.code, operation=operation) from exc
        raise


@contextmanager
def _unwrapped(operation: str) -> Iterator[None]:
    try:
        yield
    except DoesNotExist:
        raise
    except PynamoDBException as exc:
        if isinstance(exc.cause, ClientError | BotoCoreError):
            raise exc.cause from exc
        raise AwsRefused(f"{operation}: {exc}", operation=operation) from exc
    except ValueError as exc:  # of botocore, as it makes the client
        if not _ABOUT_ITS_ENDPOINT.search(str(exc)):
            raise
        raise AwsRefused(f"{operation}: no client can be made: {exc}; check AWS_ENDPOINT_URL") from exc
