"""Every error the SDK raises on its own account. Errors of a user's task are never wrapped in one of these."""

from __future__ import annotations


class DagyError(Exception):
    """Base of the SDK's errors."""


class OptionError(DagyError, ValueError):
    """An option of a task or flow has a value that is not allowed."""


class ParameterError(DagyError, ValueError):
    """A run's parameters do not fit the flow: one is missing, unknown, or wrongly referred to."""


class GraphError(DagyError):
    """The calls in a flow do not make a graph that can run."""


class CycleError(GraphError):
    """A task was made to wait for itself."""


class LoadError(DagyError):
    """A flow file cannot be imported, or does not hold the flow that was asked for."""


class SpecError(DagyError, ValueError):
    """A ``flow_spec.json`` is not of the documented form."""


class TaskTimedOut(DagyError, TimeoutError):
    """A task ran longer than its ``timeout_seconds``."""


class Terminated(BaseException):
    """The run was told to stop (SIGTERM). Not an ``Exception``, so that ``except Exception`` lets it pass."""
