"""Writing several items of one table at once, or none of them. ``records/latest.py`` does it for versions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from dagy_queue.errors import AwsRefused, AwsThrottled
from dagy_queue.records.base import Record, dynamodb

OPERATION = "dynamodb:TransactWriteItems"

_TRIES = 8
_LONGEST_PAUSE = 0.5
"""Seconds; the pauses before that are shorter."""
_OVERTAKEN = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
_THROTTLED = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})


class Overtaken(Exception):
    """Nothing was written: an item is no longer as its condition says, or somebody else was writing it."""


def until_not_overtaken(model: type[Record], write: Callable[[], None], *, at_once: bool = False) -> None:
    """Read and write anew for as long as others write between; ``at_once`` gives up after the first time.

    Raises AwsRefused then, AwsThrottled after some tries, and what ``write`` raises.
    """
    for tries in range(_TRIES):
        try:
            write()
        except Overtaken as exc:
            if at_once:
                code = "ConditionalCheckFailedException"
                raise AwsRefused(f"{OPERATION}: the condition does not hold", code=code, operation=OPERATION) from exc
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**tries)))
        else:
            return
    raise AwsThrottled(
        f"{OPERATION}: others write the same items of {model.Meta.table_name} all the time; try again in a moment",
        code="TransactionConflict",
        operation=OPERATION,
    )


def write_together(model: type[Record], add: Callable[[TransactWrite], None]) -> None:
    """Write what ``add`` adds to a transaction. Raises Overtaken, or an AwsError."""
    with dynamodb(OPERATION):
        try:
            with TransactWrite(connection=model.table().connection) as together:
                add(together)
        except TransactWriteError as exc:
            codes = {reason.code for reason in exc.cancellation_reasons if reason}
            if codes & _OVERTAKEN:
                raise Overtaken from exc
            if codes & _THROTTLED:
                raise AwsThrottled(f"{OPERATION}: {exc}", code=min(codes), operation=OPERATION) from exc
            raise
