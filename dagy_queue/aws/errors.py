"""The one place where botocore's errors become ours; every caller of AWS wraps its calls in :func:`mapped`.

The signatures of throttling and capacity are those of the AWS documentation and of public reports
(docs/reference of RunTask; dagster#33439 for the throttle hidden inside InvalidParameterException, prefect#15865 for
RegisterTaskDefinition's inside ClientException).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from dagy_queue.aws.refusals import NO_CREDENTIALS
from dagy_queue.errors import AwsCapacity, AwsError, AwsRefused, AwsThrottled, AwsUnavailable

_THROTTLE_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_HIDDEN_THROTTLE = ("rate exceeded", "errorcode: throttling", "too many concurrent attempts")
_SERVER_ERROR = 500


@contextmanager
def mapped(operation: str) -> Iterator[None]:
    """Run AWS calls; their errors come out as AwsError's children, naming ``operation`` (``ecs:RunTask``)."""
    try:
        yield
    except ClientError as exc:
        raise from_client_error(exc, operation) from exc
    except NoCredentialsError as exc:
        raise AwsRefused(
            f"{operation}: no AWS credentials were found; set AWS_PROFILE or run where a role is attached",
            code=NO_CREDENTIALS,
            operation=operation,
        ) from exc
    except ParamValidationError as exc:
        raise AwsRefused(f"{operation}: {exc}", code="ParamValidation", operation=operation) from exc
    except BotoCoreError as exc:
        raise AwsUnavailable(
            f"{operation}: no answer from AWS ({exc}); check the network, the region and AWS_ENDPOINT_URL",
            code=type(exc).__name__,
            operation=operation,
        ) from exc


def from_client_error(exc: ClientError, operation: str) -> AwsError:
    """Return our error for an error answer of AWS."""
    error = exc.response.get("Error", {})
    code, text = error.get("Code", ""), error.get("Message", "")
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{operation}: {code}: {text}"
    lowered = text.lower()
    if code in _THROTTLE_CODES or any(sign in lowered for sign in _HIDDEN_THROTTLE):
        return AwsThrottled(f"{message}; it will be repeated at a lower rate", code=code, operation=operation)
    if "limit on the number of" in lowered or "capacity is unavailable" in lowered:
        return AwsCapacity(f"{message}; it will be repeated later", code=code, operation=operation)
    if status >= _SERVER_ERROR or code == "ServerException":
        return AwsUnavailable(f"{message}; AWS failed, it will be repeated", code=code, operation=operation)
    return AwsRefused(message, code=code, operation=operation)
