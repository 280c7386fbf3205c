"""What ``dagy`` says: results on stdout as text or JSON, everything else on stderr, as loud as it was asked to be."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from dagy.errors import DagyError, described, message_of
from dagy.flows import Flow
from dagy.spec import FlowSpec
from dagy.states import FlowRun, TaskRun

_SDK = f"{Path(__file__).parent}{os.sep}"


class Output:
    """Where commands say something."""

    def __init__(self, form: str, *, verbose: bool, quiet: bool) -> None:
        self._form = form
        self.verbose = verbose
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Say something that is good to know."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def say_more(self, line: str) -> None:
        """Say something for those who want to know all."""
        if self.verbose:
            print(line, file=sys.stderr, flush=True)

    def complain(self, line: str) -> None:
        """Say what is wrong."""
        print(f"dagy: {line}", file=sys.stderr, flush=True)

    def result(self, document: Any, *, text: str) -> None:
        """Print the result, as JSON or as text."""
        print(json.dumps(document, ensure_ascii=False, indent=2) if self._form == "json" else text, flush=True)

    def show_run(self, flow: Flow, finished: FlowRun) -> None:
        """Print what came of a run: of one that failed the error, and its traceback without the SDK's own frames."""
        counts = f"{sum(run.attempts > 0 for run in finished.tasks.values())} of {len(finished.tasks)} tasks"
        if finished.error is not None:
            show_problem(finished.error)
            task = f" in task {finished.failed_task!r}" if finished.failed_task else ""
            self.complain(f"flow {flow.name!r} failed{task}: {described(finished.error)}")
        else:
            self.say(f"flow {flow.name}: {finished.status} ({counts})")
        result = self._printable(finished.result)
        if self._form == "json":
            self.result(_run_document(finished, result), text="")
        elif finished.error is None:
            print(json.dumps(result, ensure_ascii=False), flush=True)

    def _printable(self, result: Any) -> Any:
        try:
            return json.loads(json.dumps(result, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError) as exc:
            self.complain(f"the result is not JSON ({exc}): a run in a container would fail; return plain values")
            return _shown(result)


class Progress:
    """Says what happens to each task."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def task_started(self, run: TaskRun) -> None:
        """Say that an attempt starts, to those who want to know."""
        self._output.say_more(f"{run.name}: attempt {run.attempts}")

    def task_succeeded(self, run: TaskRun) -> None:
        """Say that the task has its value."""
        self._output.say(f"{run.name}: {run.state} in {run.seconds:.2f} s")

    def task_failed(self, run: TaskRun) -> None:
        """Say that the task failed for good."""
        attempts = "1 attempt" if run.attempts == 1 else f"{run.attempts} attempts"
        self._output.say(f"{run.name}: {run.state} after {attempts}: {described(run.error)}")

    def task_skipped(self, run: TaskRun) -> None:
        """Say that the task will not run."""
        self._output.say(f"{run.name}: {run.state}")

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        """Say that there will be another attempt."""
        self._output.say(
            f"{run.name}: attempt {run.attempts} failed, next in {delay_seconds:.3g} s: {described(run.error)}"
        )
        if self._output.verbose and run.error is not None:
            show_problem(run.error)


def summary(spec: FlowSpec) -> str:
    """Return a flow as ``dagy validate`` shows it."""
    lines = [f"flow {spec.name} {spec.version} ({spec.entrypoint.file}:{spec.entrypoint.object})"]
    for p in spec.parameters:
        kind = f" ({p.type})" if p.type else ""
        lines.append(f"  parameter {p.name}{kind}: {'required' if p.required else f'default {p.default!r}'}")
    if spec.tasks is None:
        lines.append("  tasks: known only with parameters")
    for task in spec.tasks or ():
        lines.append(f"  task {task.name}{' after ' if task.upstream else ''}{', '.join(task.upstream)}")
    return "\n".join(lines)


def show_error(exc: DagyError) -> None:
    """Say what is wrong in a line, after the lines of the author's code that led there."""
    show_problem(exc if exc.__cause__ is None else exc.__cause__)
    print(f"dagy: {exc}", file=sys.stderr, flush=True)


def show_problem(exc: BaseException) -> None:
    """Print where in the author's code an error happened, and what was said about it, but not the SDK's own frames.

    The message of an SDK's error is left to the caller: it stands by itself.
    """
    frames = exc.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if isinstance(exc, DagyError):
        own = [f for f in traceback.extract_tb(frames) if not _is_machinery(f.filename)] if frames else []
        print("".join(traceback.format_list(own)), end="", file=sys.stderr, flush=True)
    elif frames is not None or isinstance(exc, SyntaxError):
        traceback.print_exception(exc.with_traceback(frames))
    else:
        print("".join(f"{note}\n" for note in getattr(exc, "__notes__", ())), end="", file=sys.stderr, flush=True)


def _shown(result: Any) -> str:
    try:
        return repr(result)
    except Exception:  # noqa: BLE001 - a class of the author's may do anything
        return f"<{type(result).__qualname__} that cannot be shown>"


def _is_machinery(file: str) -> bool:
    return file.startswith((_SDK, "<frozen "))


def _run_document(finished: FlowRun, result: Any) -> dict[str, Any]:
    error = finished.error
    return {
        "run_id": finished.run_id,
        "status": finished.status,
        "result": result,
        "error": None
        if error is None
        else {"type": type(error).__name__, "message": message_of(error), "task": finished.failed_task},
        "tasks": {
            name: {"state": run.state.value, "attempts": run.attempts, "seconds": round(run.seconds, 3)}
            for name, run in finished.tasks.items()
        },
    }
