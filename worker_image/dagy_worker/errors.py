"""What can go wrong outside the flow itself. Each error knows the exit code that the contract gives it."""

from __future__ import annotations

from dagy.contract import ExitCode


class WorkerError(Exception):
    """Base: the run cannot be executed, whatever its flow does."""

    exit_code = ExitCode.BAD_SPEC


class BadSpec(WorkerError):
    """The run spec is missing or not of the agreed form, or its parameters do not fit the flow."""


class BadArtifact(WorkerError):
    """The artifact is not the promised one, unsafe to unpack, or holds no flow that can be imported."""


class StorageError(WorkerError):
    """S3 refused, or could not be reached in several tries."""


class DependencyFailed(WorkerError):
    """A dependency package cannot be fetched, unpacked or installed."""

    exit_code = ExitCode.DEPENDENCY_FAILED


class ArchiveError(Exception):
    """An archive is damaged or unsafe to unpack."""


class ResultNotJson(Exception):
    """The flow's result cannot travel: it is not a JSON value."""
