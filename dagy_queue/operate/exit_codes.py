"""What ``dagy-queue`` exits with, and which error means what: the codes that users of Dagy's own command line know."""

from __future__ import annotations

from enum import IntEnum

from dagy_queue.aws.refusals import is_about_identity
from dagy_queue.errors import (
    AwsError,
    AwsRefused,
    BatchNotFound,
    DagyQueueError,
    NotRegistered,
    RedisUnavailable,
    RequestInvalid,
    RunNotFound,
)


class ExitCode(IntEnum):
    """What a command exits with, unless a run's own exit code is passed on."""

    OK = 0
    ERROR = 1
    USAGE = 2
    AUTHENTICATION = 3
    NETWORK = 4
    NOT_FOUND = 5
    TIMED_OUT = 124
    """What was waited for goes on: as ``timeout`` of coreutils has it."""
    INTERRUPTED = 130
    """Ctrl-C: what runs goes on."""


MEANINGS = {
    ExitCode.OK: "it worked",
    ExitCode.ERROR: "it did not: a run failed or was cancelled, a setting is wrong, or anything that is not below",
    ExitCode.USAGE: "the command line, or the request that it makes, is wrong; nothing was sent",
    ExitCode.AUTHENTICATION: "AWS or Redis does not take the credentials, or they may not do this",
    ExitCode.NETWORK: "AWS or Redis cannot be reached, or gives no answer",
    ExitCode.NOT_FOUND: "there is no such run, batch, flow, deployment, package or message",
    ExitCode.TIMED_OUT: "`--wait-timeout` passed; what was waited for goes on",
    ExitCode.INTERRUPTED: "Ctrl-C; what runs goes on",
}


def exit_code_of(error: DagyQueueError) -> ExitCode:
    """Return what a command exits with that ends by an error."""
    if isinstance(error, RequestInvalid):
        return ExitCode.USAGE
    if isinstance(error, RunNotFound | BatchNotFound | NotRegistered):
        return ExitCode.NOT_FOUND
    if isinstance(error, RedisUnavailable):
        return ExitCode.AUTHENTICATION if _is_refused_login(error) else ExitCode.NETWORK
    if isinstance(error, AwsError):
        if is_about_identity(error.code):
            return ExitCode.AUTHENTICATION
        return ExitCode.ERROR if isinstance(error, AwsRefused) else ExitCode.NETWORK
    return ExitCode.ERROR


def _is_refused_login(error: RedisUnavailable) -> bool:
    """Tell whether Redis refused user and password: redis-py's AuthenticationError, and what servers say in words."""
    cause = error.__cause__
    text = str(cause)
    return type(cause).__name__.startswith("Authentication") or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM"))
