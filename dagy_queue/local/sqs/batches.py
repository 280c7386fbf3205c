"""Batch operations: what SQS demands of the entries, and running them one by one. Used by the service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs.errors import query_code

Request = Mapping[str, Any]
Answer = dict[str, Any]

_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


def batch_entries(request: Request) -> list[Request]:
    """Return the entries of a batch. Raises what SQS answers to a batch it refuses as a whole."""
    entries: list[Request] = request.get("Entries") or []
    if not entries:
        raise AwsError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > 10:
        raise AwsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are 10. You have sent {len(entries)}.",
        )
    ids = [str(one.get("Id", "")) for one in entries]
    if not all(_ENTRY_ID.fullmatch(one) for one in ids):
        raise AwsError(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores."
            " It can be at most 80 letters long.",
        )
    if len(set(ids)) != len(ids):
        repeated = next(one for one in ids if ids.count(one) > 1)
        raise AwsError("BatchEntryIdsNotDistinct", f"Id {repeated} repeated.")
    return entries


def each(entries: list[Request], run: Callable[[Request], Answer]) -> Answer:
    """Run every entry and tell which succeeded."""
    successful: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries:
        try:
            successful.append({"Id": entry["Id"], **run(entry)})
        except AwsError as exc:
            failed.append(
                {"Id": entry["Id"], "Code": query_code(exc.code), "Message": exc.message, "SenderFault": True}
            )
    return {"Successful": successful, **({"Failed": failed} if failed else {})}
