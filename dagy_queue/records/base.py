"""What all PynamoDB models share: errors of ours instead of PynamoDB's and botocore's, and being bound on first use.

A process of the product calls ``records.models.bind_models`` with its settings. A user's program need not: the first
use of a model binds them all to the settings of the process.
"""

from __future__ import annotations

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
from dagy_queue.errors import AwsRefused

BILLING = "PAY_PER_REQUEST"
"""How the tables are billed: a table that is not used costs nothing."""

_binding = threading.Lock()


class Record(Model):
    """Base of the models. ``table_setting`` names the setting (of ``records``) that names the model's table."""

    table_setting: ClassVar[str]
    bound: ClassVar[bool] = False
    """True once ``bind_models`` was called; of this class alone, for all models."""

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
    def _get_connection(cls) -> TableConnection:
        if not Record.bound:
            _bind_to_process()
        return super()._get_connection()


def _bind_to_process() -> None:
    from dagy_queue.records.models import bind_models
    from dagy_queue.settings import settings

    with _binding:
        if not Record.bound:
            bind_models(settings())


@contextmanager
def dynamodb(operation: str) -> Iterator[None]:
    """Run calls of PynamoDB. It wraps botocore's errors in its own: they are unwrapped and mapped, once, here."""
    with mapped(operation):
        try:
            yield
        except DoesNotExist:
            raise
        except PynamoDBException as exc:
            if isinstance(exc.cause, ClientError | BotoCoreError):
                raise exc.cause from exc
            raise AwsRefused(f"{operation}: {exc}", operation=operation) from exc
