"""Every error the SDK raises on its own account. Errors of a user's task are never wrapped in one of these.

DagyError
├── OptionError        an option of a task or flow
├── ParameterError     a run's parameters
├── GraphError         the calls in a flow
│   ├── ArgumentError  one call's arguments
│   ├── CycleError     one call's place in the order
│   └── OutputError    an output taken for the value that it stands for
├── LoadError          a flow file
│   └── NotFoundError  ... that is not there
├── BuildError         what would go into an artifact
├── SpecError          a flow_spec.json
└── TaskTimedOut       a task's time
Terminated             the run was told to stop (a KeyboardInterrupt, no Exception)
"""

from __future__ import annotations


class DagyError(Exception):
    """Base of the SDK's errors."""


class OptionError(DagyError, ValueError):
    """An option of a task or flow has a value that is not allowed."""


class ParameterError(DagyError, ValueError):
    """A run's parameters do not fit the flow: one is missing, unknown, of the wrong type, or wrongly referred to."""


class GraphError(DagyError):
    """The calls in a flow do not make a graph that can run."""


class ArgumentError(GraphError, TypeError):
    """A task's arguments do not fit its function: too many, too few, or of the wrong type. It is not tried again."""


class CycleError(GraphError):
    """A task was made to wait for itself."""


class OutputError(GraphError, AttributeError):
    """The output of a task was used like the value that it stands for, which is not there yet."""


class LoadError(DagyError):
    """A flow file cannot be imported, or does not say which flow is meant."""


class NotFoundError(LoadError):
    """There is no such flow file, or no such flow in it."""


class BuildError(DagyError):
    """An artifact cannot be made of these files: one cannot be packed, or they are too large."""


class SpecError(DagyError, ValueError):
    """A ``flow_spec.json`` is not of the documented form."""


class TaskTimedOut(DagyError, TimeoutError):
    """A task ran longer than its ``timeout_seconds``."""


class Terminated(KeyboardInterrupt):
    """The run was told to stop (SIGTERM). Not an ``Exception``, so that ``except Exception`` lets it pass.

    It is like Ctrl-C for what a task calls: asyncio, for one, drops any other exception that comes while it is at work.
    """


def message_of(error: BaseException) -> str:
    """Return an error's text, whatever its class does when it is asked, and in UTF-8 whatever is in it."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception class of the user's may do anything
        return "<its message cannot be shown>"
    return text.encode(errors="backslashreplace").decode()


def described(error: BaseException | None) -> str:
    """Return an error's type and message, or its type if it has none; "" for no error."""
    if error is None:
        return ""
    message = message_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
