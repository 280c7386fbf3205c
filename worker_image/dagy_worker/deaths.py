"""What the end of the flow's process means, when it ended before its run did; pure but for :func:`oom_kills`."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

from dagy.contract import OUT_OF_MEMORY, ErrorReport, ExitCode

BROKEN = 70
"""What the flow's process exits with when the worker's own code in it fails (EX_SOFTWARE of sysexits.h)."""
_BY_SIGNAL = 128
_OURS = (ExitCode.OK, ExitCode.FLOW_FAILED, ExitCode.BAD_SPEC, ExitCode.DEPENDENCY_FAILED, ExitCode.TERMINATED)
_OOM_FILES = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where the kernel counts what it killed for lack of memory: control groups version 2, and version 1."""


class Death(NamedTuple):
    """The end of the flow's process."""

    status: int
    """As ``os.waitpid`` tells it."""
    was_stopped: bool = False
    """Whether the container had been told to stop."""
    killed_after: float | None = None
    """Seconds after which it was killed then, because it went on; None if it ended by itself."""
    out_of_memory: bool = False
    faults: str = ""
    """What ``faulthandler`` wrote: where each thread was."""


def exit_code_of(death: Death) -> int:
    """Return the exit code of a run whose process died. Codes that mean something else are not passed on."""
    if death.was_stopped:
        return ExitCode.TERMINATED
    code = os.waitstatus_to_exitcode(death.status)
    if code < 0:
        return _BY_SIGNAL - code
    return ExitCode.FLOW_FAILED if code in _OURS else code


def error_of(death: Death, task: str = "") -> ErrorReport:
    """Return the error of a run whose process died while ``task`` was under way, if that is known."""
    kind, message = _told(death)
    return ErrorReport(type=kind, message=message, task=task, traceback=death.faults)


def _told(death: Death) -> tuple[str, str]:
    code = os.waitstatus_to_exitcode(death.status)
    if death.killed_after is not None:
        return "Terminated", f"stopped by SIGTERM; the flow did not end within {death.killed_after:g} s and was killed"
    if death.was_stopped:
        return "Terminated", "stopped by SIGTERM; the flow's process ended without telling how far it had come"
    if code == BROKEN:
        return "WorkerFailed", f"the worker itself failed in the flow's process (exit code {code}); the log says how"
    if code >= 0:
        return "ProcessExited", (
            f"the flow's process exited with code {code} before its run was over: something called os._exit({code})"
        )
    number = -code
    if number == signal.SIGKILL and death.out_of_memory:
        return OUT_OF_MEMORY, "the flow's process was killed because the container ran out of memory"
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    hint = "; if memory ran out, choose more of it" if number == signal.SIGKILL else ""
    return "ProcessKilled", f"the flow's process was ended by {name} ({signal.strsignal(number)}){hint}"


def oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for lack of memory, as far as it tells."""
    for file in _OOM_FILES:
        try:
            found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0
