"""DynamoDB as the worker needs it: one conditional update, and batches of items. ``recorder.py`` writes by it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dagy_worker.aws import AwsError, AwsRefused, Patience, errors_mapped, make_client, require_time

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PATIENCE = Patience(connect=2.0, read=5.0, attempts=3)
BATCH_ITEMS = 25
"""Items that BatchWriteItem takes (DynamoDB API reference)."""
_ROUNDS = 5
"""How often items are sent that DynamoDB did not get to."""
_FIRST_DELAY = 0.1

Item = Mapping[str, Mapping[str, Any]]
"""An item as DynamoDB's API has it: each value under the letter of its type."""


class DynamoDb:
    """One thread's client."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises AwsError if no client can be made."""
        self._client: DynamoDBClient = make_client("dynamodb", environ, PATIENCE)
        self._deadline: float | None = None

    def until(self, deadline: float | None) -> Self:
        """Try nothing any more after a ``time.monotonic()``."""
        self._deadline = deadline
        return self

    def update(self, request: Mapping[str, Any]) -> bool:
        """Send an UpdateItem; return False if its condition does not hold. Raises AwsError."""
        try:
            with errors_mapped():
                require_time(self._deadline)
                self._client.update_item(**request)
        except AwsRefused as exc:
            if exc.code == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def put_batch(self, table: str, items: Sequence[Item]) -> None:
        """Put up to 25 items in one call, and again those that DynamoDB did not get to.

        Raises AwsError if some are not written after several rounds.
        """
        requests: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        for attempt in range(_ROUNDS):
            if attempt:
                time.sleep(_FIRST_DELAY * 2**attempt)
            with errors_mapped():
                require_time(self._deadline)
                answer = self._client.batch_write_item(RequestItems={table: requests})
            requests = answer.get("UnprocessedItems", {}).get(table, [])
            if not requests:
                return
        raise AwsError(f"DynamoDB did not get to {len(requests)} items of {table} in {_ROUNDS} rounds")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
