"""What exit codes mean: the signals of every container, and the codes of the Dagy worker; tables, pure."""

from __future__ import annotations

import signal
from dataclasses import replace

from dagy.contract import ExitCode
from dagy_queue.outcomes.outcome import Kind, Outcome

_BY_SIGNAL = 128
"""A process that a signal ended has this and the signal's number as its exit code."""

_READ_THE_LOG = "read the run's log for what the program said"
_CRASHED = "find out from the log where the program was; a library in C or an image for another processor may do that"

_MEANINGS = {
    126: ("the command could not be executed", "check that the command is a program and executable"),
    127: ("the command was not found", "check the command: the image has no such program"),
    128 + signal.SIGINT: ("the container was interrupted", "launch again if it was not you who stopped it"),
    128 + signal.SIGILL: ("the container crashed: illegal instruction", _CRASHED),
    128 + signal.SIGABRT: ("the container aborted itself", _READ_THE_LOG),
    128 + signal.SIGBUS: ("the container crashed: bus error", _CRASHED),
    128 + signal.SIGFPE: ("the container crashed: arithmetic error", _CRASHED),
    128 + signal.SIGKILL: (
        "the container was killed",
        "if memory ran out choose more memory; if it was being stopped, let it stop within stopTimeout",
    ),
    128 + signal.SIGSEGV: ("the container crashed: segmentation fault", _CRASHED),
    128 + signal.SIGTERM: ("the container was told to stop", "launch again if it was not you who stopped it"),
}

_WORKER_MEANINGS = {
    ExitCode.FLOW_FAILED: ("the flow failed", "read the error and the run's log, mend the flow, and launch again"),
    ExitCode.BAD_SPEC: (
        "the worker could not read its run spec or artifact",
        "mend what the message names: the parameters, or the artifact, which the task role must be able to read",
    ),
    ExitCode.DEPENDENCY_FAILED: (
        "a dependency package could not be installed",
        "mend what the message names: an unreadable or unsafe package, or a requirement; the log has pip's words",
    ),
}

FROM_OUTSIDE = frozenset({128 + signal.SIGKILL, 128 + signal.SIGTERM})
"""How containers end when ECS stops them."""


def meaning_of(exit_code: int) -> tuple[str, str]:
    """Return what an exit code of any container means, and what to do about it."""
    if exit_code in _MEANINGS:
        return _MEANINGS[exit_code]
    number = exit_code - _BY_SIGNAL
    if number in set(signal.Signals):
        return f"the container was ended by signal {signal.Signals(number).name}", _READ_THE_LOG
    return "the container failed", _READ_THE_LOG


def explain_worker_exit(outcome: Outcome) -> Outcome:
    """Say what an exit code of the Dagy worker means; in other images the same code may mean anything."""
    if outcome.kind is not Kind.FAILED or outcome.exit_code not in _WORKER_MEANINGS:
        return outcome
    meaning, resolution = _WORKER_MEANINGS[outcome.exit_code]
    return replace(outcome, summary=f"{meaning} (exit code {outcome.exit_code})", resolution=resolution)
