"""What the commands of ``dagy`` do. Each returns whether it went well; ``dagy.cli`` reads the command line."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from dagy.build import build_artifact
from dagy.cli_output import Output, Progress, show_problem, summary
from dagy.describing import describe
from dagy.environment import parameters_exported
from dagy.errors import DagyError, OptionError, described
from dagy.flows import Flow
from dagy.loader import choose, isolated, load_flows
from dagy.spec import Entrypoint


def build(arguments: Namespace, output: Output) -> bool:
    """Build an artifact, write it and print its hash."""
    with redirect_stdout(sys.stderr):
        artifact = build_artifact(arguments.file, arguments.version, flow=arguments.flow)
    _write(arguments.output, artifact.content)
    spec, git = artifact.spec, artifact.git
    output.say(f"{arguments.output}: {spec.name} {spec.version}, {len(artifact.content):,} bytes")
    for name, size in artifact.files.items():
        output.say_more(f"  {name}: {size:,} bytes")
    if git is not None and git.dirty:
        output.say(f"note: the artifact has changes that are not in commit {git.commit[:12]}")
    report = {
        "artifact": str(arguments.output),
        "bytes": len(artifact.content),
        "sha256": artifact.sha256,
        "content_sha256": artifact.content_sha256,
        "flow": spec.name,
        "version": spec.version,
        "git": None if git is None else git.as_json(),
        "files": dict(artifact.files),
    }
    output.result(report, text=artifact.sha256)
    return True


def run(arguments: Namespace, output: Output) -> bool:
    """Run a flow and print its result. What its tasks print goes to stderr, so that stdout is the result alone."""
    file, name = arguments.file, arguments.flow
    with redirect_stdout(sys.stderr):
        with parameters_exported(_first_reading(arguments)):
            _, flow = choose(load_flows(file), file, name)
        parameters = flow.bind(_parameters(flow, arguments))
        _note_undeclared(flow, parameters, output)
        try:
            with parameters_exported(parameters):
                finished = flow.execute(parameters, listener=Progress(output), max_workers=arguments.max_workers)
        except DagyError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever the flow's own code raises, before its first task
            return _complain_of(flow, exc, output)
    output.show_run(flow, finished)
    return finished.error is None


def validate(arguments: Namespace, output: Output) -> bool:
    """Import a file and show its flows: what they take, and their tasks as far as the parameters tell."""
    file, name = arguments.file, arguments.flow
    specs, fine = [], True
    with isolated(file), redirect_stdout(sys.stderr):
        flows = load_flows(file)
        for attribute, flow in [choose(flows, file, name)] if name or not flows else flows.items():
            given = _parameters(flow, arguments)
            try:
                plan = flow.plan(flow.bind(given)) if given else None
            except DagyError:
                raise
            except Exception as exc:  # noqa: BLE001 - whatever the flow's own code raises
                fine = _complain_of(flow, exc, output)
                continue
            specs.append(describe(flow, Entrypoint(file=file.name, object=attribute), plan=plan))
            if plan is None and specs[-1].tasks is None:
                fine = _explain_absence(flow, output) and fine
    output.result([spec.as_json() for spec in specs], text="\n".join(map(summary, specs)))
    return fine


def _complain_of(flow: Flow, error: Exception, output: Output) -> bool:
    """Say what a flow's own code raised before its first task; return that this is not fine."""
    show_problem(error)
    output.complain(f"flow {flow.name!r} cannot be made: {described(error)}")
    return False


def _explain_absence(flow: Flow, output: Output) -> bool:
    """Say why there is no graph; return whether that is as it may be."""
    try:
        flow.typical_plan()
    except Exception as exc:  # noqa: BLE001 - whatever the flow's code raises
        output.complain(f"flow {flow.name!r}: calling it with its defaults raised {described(exc)}")
        output.complain("if the defaults are there to be refused, check it with real parameters: --param NAME=VALUE")
        show_problem(exc)
        return False
    return True


def _note_undeclared(flow: Flow, parameters: Mapping[str, Any], output: Output) -> None:
    """Say which parameters the flow takes without naming them: what may be meant, and may be a slip."""
    declared = [parameter.name for parameter in flow.parameters()]
    for name in [name for name in parameters if name not in declared]:
        output.say(f"note: {flow!r} does not name parameter {name!r} (it names: {', '.join(declared) or 'none'})")


def _first_reading(arguments: Namespace) -> dict[str, Any]:
    """Return the parameters as they are read while no flow says which are text."""
    return {**arguments.parameters, **{name: _json_or_text(text) for name, text in arguments.param}}


def _parameters(flow: Flow, arguments: Namespace) -> dict[str, Any]:
    return {**arguments.parameters, **{name: _value(flow, name, text) for name, text in arguments.param}}


def _value(flow: Flow, name: str, text: str) -> Any:
    """Return what ``NAME=TEXT`` means: JSON if it is, plain text if not, or if the parameter is text."""
    value = _json_or_text(text)
    return text if not flow.accepts(name, value) and flow.accepts(name, text) else value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    if path.is_dir():
        raise OptionError(f"--output {path}: expected the name of a file, not of a directory")
    if not path.parent.is_dir():
        raise OptionError(f"--output {path}: there is no directory {path.parent}: make it first")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
