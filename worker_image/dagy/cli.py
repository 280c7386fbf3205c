"""The ``dagy`` command: build an artifact, run a flow here, or check that a file holds one.

Exit codes: 0 ok, 1 error, 2 usage. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagy import __version__
from dagy.build import build_artifact, describe
from dagy.environment import export_parameters
from dagy.errors import DagyError
from dagy.events import SilentListener
from dagy.loader import choose, isolated, load_flows
from dagy.spec import Entrypoint, FlowSpec
from dagy.states import TaskRun


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except DagyError as exc:
        if exc.__cause__ is not None:
            traceback.print_exception(exc.__cause__)
        _say(f"dagy: {exc}")
    except OSError as exc:
        _say(f"dagy: {exc.filename or ''}: {exc.strerror or exc}")
    return 1


def _build(arguments: argparse.Namespace) -> int:
    artifact = build_artifact(arguments.file, arguments.version, flow=arguments.flow)
    arguments.output.write_bytes(artifact.content)
    _say(f"{arguments.output}: {artifact.spec.name} {artifact.spec.version}, {len(artifact.content)} bytes")
    print(artifact.sha256)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    _, flow = choose(load_flows(arguments.file), arguments.file, arguments.flow)
    parameters = flow.bind(dict(arguments.param))
    export_parameters(parameters, os.environ)
    finished = flow.execute(parameters, listener=_Progress())
    if finished.error is not None:
        traceback.print_exception(finished.error)
        return 1
    print(json.dumps(finished.result, ensure_ascii=False, default=repr))
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    with isolated(arguments.file.parent):
        flows = load_flows(arguments.file)
        chosen = [choose(flows, arguments.file, arguments.flow)] if arguments.flow or not flows else flows.items()
        for name, flow in chosen:
            print(_summary(describe(flow, Entrypoint(file=arguments.file.name, object=name))))
    return 0


def _summary(spec: FlowSpec) -> str:
    lines = [f"flow {spec.name} {spec.version} ({spec.entrypoint.file}:{spec.entrypoint.object})"]
    lines += [
        f"  parameter {p.name}: {'required' if p.required else f'default {p.default!r}'}" for p in spec.parameters
    ]
    if spec.tasks is None:
        lines.append("  tasks: known only with parameters")
    for task in spec.tasks or ():
        lines.append(f"  task {task.name}{' after ' if task.upstream else ''}{', '.join(task.upstream)}")
    return "\n".join(lines)


class _Progress(SilentListener):
    """Prints a line for each task that ends."""

    def task_succeeded(self, run: TaskRun) -> None:
        _say(f"{run.name}: {run.state} in {run.seconds:.2f} s")

    def task_failed(self, run: TaskRun) -> None:
        _say(f"{run.name}: {run.state} after {run.attempts} attempt(s): {run.error}")

    def task_skipped(self, run: TaskRun) -> None:
        _say(f"{run.name}: {run.state}")

    def task_retrying(self, run: TaskRun, delay_seconds: float) -> None:
        _say(f"{run.name}: attempt {run.attempts} failed, next in {delay_seconds:g} s: {run.error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dagy", description="Build, run and check flows.")
    parser.add_argument("--version", action="version", version=f"dagy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="package a flow as an artifact; prints its SHA-256")
    build.add_argument("--output", "-o", type=Path, default=Path("artifact.zip"), help="default: %(default)s")
    build.add_argument("--version", help="default: the flow's own")
    build.set_defaults(command=_build)

    run = commands.add_parser("run", help="run a flow in this process; prints its result as JSON")
    run.add_argument(
        "--param",
        type=_parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the run, as JSON or plain text; may be repeated",
    )
    run.set_defaults(command=_run)

    validate = commands.add_parser("validate", help="import a file and show its flows")
    validate.set_defaults(command=_validate)

    for command in (build, run, validate):
        command.add_argument("file", type=Path, metavar="FILE", help="Python file with a flow")
        command.add_argument("--flow", metavar="NAME", help="which flow, if the file has several")
    return parser


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _say(line: str) -> None:
    print(line, file=sys.stderr)
