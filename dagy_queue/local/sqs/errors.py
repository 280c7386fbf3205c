"""SQS's errors by their real names. The gateway turns them into answers; ``x-amzn-query-error`` carries the name
that SQS had in its query protocol, which is the one boto3 reports as the error code."""

from __future__ import annotations

from dagy_queue.local.ports import AwsError

_LEGACY = "AWS.SimpleQueueService."
_QUERY_CODES = {
    "QueueDoesNotExist": f"{_LEGACY}NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingRequiredParameterException": "MissingParameter",
}
_LEGACY_NAMES = frozenset(
    {
        "MessageNotInflight",
        "TooManyEntriesInBatchRequest",
        "EmptyBatchRequest",
        "BatchEntryIdsNotDistinct",
        "InvalidBatchEntryId",
        "BatchRequestTooLong",
        "UnsupportedOperation",
    }
)


def query_code(code: str) -> str:
    """Return the name an error has in SQS's query protocol."""
    return _QUERY_CODES.get(code) or (f"{_LEGACY}{code}" if code in _LEGACY_NAMES else code)


def no_such_queue() -> AwsError:
    """Return what every operation answers for a queue that is not there."""
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


def invalid_value(parameter: str, value: object, reason: str) -> AwsError:
    """Return InvalidParameterValue in the words AWS uses."""
    message = f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    return AwsError("InvalidParameterValueException", message)


def missing(parameter: str) -> AwsError:
    """Return the answer to a request without a required parameter."""
    return AwsError("MissingRequiredParameterException", f"The request must contain the parameter {parameter}.")


def invalid_receipt(handle: object) -> AwsError:
    """Return the answer to a receipt handle that SQS never gave out."""
    return AwsError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')
