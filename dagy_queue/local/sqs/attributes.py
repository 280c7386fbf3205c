"""Queue attributes: what SQS accepts, its defaults, and reading them as numbers. Used by the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dagy_queue.local.ports import AwsError

RANGES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_DOCUMENTS = frozenset({"Policy", "RedrivePolicy", "RedriveAllowPolicy"})
_TEXTS = frozenset({"KmsMasterKeyId", "SqsManagedSseEnabled"})
_READ_ONLY = frozenset(
    {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "QueueArn",
    }
)
KNOWN = _READ_ONLY | _DOCUMENTS | _TEXTS | frozenset(RANGES)
"""Every attribute that GetQueueAttributes may be asked for."""


def checked(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes as SQS keeps them. Raises InvalidAttributeName or InvalidAttributeValue."""
    return {name: _checked(name, str(value)) for name, value in attributes.items()}


def _checked(name: str, value: str) -> str:
    if name in RANGES:
        low, high = RANGES[name]
        if not (value.isdigit() and low <= int(value) <= high):
            raise _bad_value(name, f"Reason: Must be between {low} and {high}, if provided.")
    elif name in _DOCUMENTS:
        if value:
            _document(name, value)
    elif name not in _TEXTS:
        raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    return value


def _document(name: str, value: str) -> None:
    try:
        document = json.loads(value)
    except ValueError as exc:
        raise _bad_value(name, "Reason: must be valid JSON.") from exc
    if name == "RedrivePolicy" and not (
        isinstance(document, dict)
        and document.get("deadLetterTargetArn")
        and str(document.get("maxReceiveCount")).isdigit()
        and 1 <= int(document["maxReceiveCount"]) <= 1000
    ):
        raise _bad_value(name, "Reason: needs deadLetterTargetArn and maxReceiveCount (1 to 1000).")


def _bad_value(name: str, reason: str) -> AwsError:
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}. {reason}")
