"""One attempt of one run, or of several that share a container, from the environment to the exit code.

``python -m dagy_worker`` calls :func:`main` and :func:`leave`. A warm fork server calls :func:`preload` once, and
``leave(main(os.environ))`` in each child.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from dagy.attempts import THREAD_PREFIX
from dagy.contract import Env, ExitCode, RunSpec
from dagy.errors import Terminated
from dagy.flows import Flow
from dagy_worker.artifact import fetch_artifact, load_artifact
from dagy_worker.errors import WorkerError
from dagy_worker.logs import Identity, JsonLog, captured
from dagy_worker.member import Member, identity_of, parameters_exported
from dagy_worker.packages import install_package
from dagy_worker.report import Outcome
from dagy_worker.runspec import read_run_spec
from dagy_worker.storage import Storage, session, warm
from dagy_worker.tasklog import error_report, refusal_report
from dagy_worker.termination import Termination


def preload() -> None:
    """Do once, before forking, what every child would do again: imports, and parsing AWS's models of S3.

    boto3's default session is the warmed one, so that flows that use boto3 gain as well. No connection is opened
    and no credentials, region or endpoint are looked up: children read those from their own environment.
    """
    import boto3

    import dagy.dags  # noqa: F401

    boto3.setup_default_session(botocore_session=session())
    warm()


def main(environ: Mapping[str, str]) -> int:
    """Execute the run that the environment describes and return the exit code of the contract."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    termination = Termination()
    log = JsonLog(sys.stdout, _identity(environ))
    with (
        termination.installed(),
        captured(log),
        TemporaryDirectory(prefix="dagy-", ignore_cleanup_errors=True) as directory,
    ):
        return _Attempt(environ, log, Path(directory)).perform(termination)


def leave(code: int) -> NoReturn:
    """End the process with ``code``: at once if it was told to stop, or if tasks that ran out of time still run."""
    sys.stdout.flush()
    sys.stderr.flush()
    left_behind = any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate())
    if left_behind or code == ExitCode.TERMINATED:
        os._exit(code)
    sys.exit(code)


class _Attempt:
    """What the container does: one run, or the shards of a batch that share it, one after the other."""

    def __init__(self, environ: Mapping[str, str], log: JsonLog, directory: Path) -> None:
        self._environ = environ
        self._log = log
        self._directory = directory
        self._members: list[Member] = []
        self._nobody = Member(None, None, log, environ.get(Env.RESULT_URI, ""))

    def perform(self, termination: Termination) -> int:
        """Return the exit code: the first that is not OK of all members'."""
        codes: list[int] = []
        try:
            with termination.armed():
                flow = self._prepare()
            for member in self._members:
                with termination.armed():
                    outcome = member.execute(flow)
                codes.append(member.conclude(outcome))
                if outcome.exit_code == ExitCode.TERMINATED:
                    codes += self._refuse(Outcome(exit_code=ExitCode.TERMINATED, error=outcome.error))
                    break
        except WorkerError as exc:
            codes += self._refuse(Outcome(exit_code=exc.exit_code, error=refusal_report(exc)))
        except Terminated as exc:
            codes += self._refuse(Outcome(exit_code=ExitCode.TERMINATED, error=error_report(exc)))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the flow's own code, before its first task
            codes += self._refuse(Outcome(exit_code=ExitCode.FLOW_FAILED, error=error_report(exc)))
        return next((code for code in codes if code != ExitCode.OK), ExitCode.OK)

    def _prepare(self) -> Flow:
        """Read the spec, install the packages and load the flow: once for all members."""
        storage = Storage(self._environ)
        self._nobody = Member(None, storage, self._log, self._environ.get(Env.RESULT_URI, ""))
        spec = read_run_spec(self._environ, storage)
        self._members = [Member(each, storage, self._log) for each in spec.members()]
        self._log.identity = identity_of(spec)
        self._log.emit("INFO", f"run of {spec.flow_name} {spec.flow_version} started", "run_started")
        self._install_packages(spec, storage)
        with parameters_exported(spec.parameters):
            return load_artifact(fetch_artifact(spec, storage, self._directory))

    def _install_packages(self, spec: RunSpec, storage: Storage) -> None:
        places: list[str] = []
        for index, uri in enumerate(spec.dep_package_uris):
            places += install_package(uri, storage, self._directory / f"package-{index}")
            self._log.emit("INFO", f"installed {uri}", "package_installed")
        sys.path[:0] = places

    def _refuse(self, outcome: Outcome) -> list[int]:
        """Report an end that concerns every member that has not ended."""
        open_members = [member for member in self._members or [self._nobody] if not member.is_over]
        return [member.conclude(outcome) for member in open_members]


def _identity(environ: Mapping[str, str]) -> Identity:
    """What is known before the spec is read."""
    attempt = environ.get(Env.ATTEMPT, "")
    return Identity(
        run_id=environ.get(Env.RUN_ID, ""),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        correlation_id=environ.get(Env.CORRELATION_ID, ""),
        org_id=environ.get(Env.ORG_ID, ""),
    )
