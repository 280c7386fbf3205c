"""One attempt of one run, or of several that share a container, from the environment to the exit code.

``python -m dagy_worker`` calls :func:`main`. A warm fork server calls :func:`preload` once, and ``main(os.environ)`` in
each child.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from dagy.contract import Env, ExitCode, RunSpec
from dagy.errors import Terminated
from dagy_worker.deaths import BROKEN
from dagy_worker.ending import Whose, conclude, identity_of
from dagy_worker.error_reports import error_report, refusal_report
from dagy_worker.errors import WorkerError
from dagy_worker.logs import Identity, JsonLog
from dagy_worker.redaction import Redactor, secrets_in, too_short
from dagy_worker.report import Outcome
from dagy_worker.runspec import read_members, read_run_spec
from dagy_worker.stop_request import StopRequest
from dagy_worker.storage import Storage
from dagy_worker.supervisor import Supervisor


def preload() -> None:
    """Load once, before forking, what every child needs."""
    from dagy_worker.preloading import preload as load

    load()


def main(environ: Mapping[str, str]) -> int:
    """Execute the runs that the environment describes and return the exit code of the contract."""
    log = JsonLog(os.dup(1), _identity(environ))
    log.redact = Redactor(secrets_in(environ, ()))
    stop = StopRequest()
    try:
        with stop.heard(), TemporaryDirectory(prefix="dagy-", ignore_cleanup_errors=True) as directory:
            log.share(Path(directory, "log.lock"))
            return _perform(environ, log, stop, Path(directory))
    except Exception:  # noqa: BLE001 - as the container's first process, it ends with a line in the log
        log.emit("ERROR", "the worker failed", "worker_failed", task="", traceback=traceback.format_exc())
        return BROKEN


def _perform(environ: Mapping[str, str], log: JsonLog, stop: StopRequest, directory: Path) -> int:
    storage: Storage | None = None
    try:
        with stop.interrupting():
            storage = Storage(environ)
            spec = read_run_spec(environ, storage)
            members = read_members(spec)
    except WorkerError as exc:
        outcome = Outcome(exit_code=exc.exit_code, error=refusal_report(exc))
        return conclude(_whoever(environ, log), outcome, log, storage).exit_code
    except Terminated as exc:  # S3 may be what it waited for
        outcome = Outcome(exit_code=ExitCode.TERMINATED, error=error_report(exc))
        storage = storage and Storage(environ, stop.all_until)
        return conclude(_whoever(environ, log), outcome, log, storage).exit_code
    storage.close()
    _introduce(spec, environ, log)
    stop.timeout = spec.stop_timeout
    return Supervisor(members, environ, log, stop, directory).run()


def _whoever(environ: Mapping[str, str], log: JsonLog) -> Whose:
    """Return the run as far as the environment knows it."""
    return Whose(log.identity, environ.get(Env.RESULT_URI, ""))


def _introduce(spec: RunSpec, environ: Mapping[str, str], log: JsonLog) -> None:
    """Let the log know the run, and say that it starts."""
    log.identity = identity_of(spec)
    log.redact = Redactor(secrets_in(environ, spec.secret_names))
    log.emit("INFO", f"run of {spec.flow_name} {spec.flow_version} started", "run_started", task="")
    if short := too_short(environ, spec.secret_names):
        message = f"too short to be kept out of the log: the values of {', '.join(short)}"
        log.emit("WARNING", message, "secret_too_short", task="")


def _identity(environ: Mapping[str, str]) -> Identity:
    """Return what is known before the spec is read."""
    attempt = environ.get(Env.ATTEMPT, "")
    return Identity(
        run_id=environ.get(Env.RUN_ID, ""),
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else 1,
        correlation_id=environ.get(Env.CORRELATION_ID, ""),
        org_id=environ.get(Env.ORG_ID, ""),
    )
