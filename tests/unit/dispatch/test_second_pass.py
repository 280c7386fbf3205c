"""The passes of a launch as Celery's tracer does them, on a real Redis: what comes twice is concluded once."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from celery import states
from celery.canvas import Signature, chain, chord

from dagy.contract import ReportStatus, RunReport
from dagy_queue.dispatch import concluding
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsRefused, AwsUnavailable, LedgerError
from dagy_queue.ids import AttemptId
from dagy_queue.launching.storage import ObjectStore
from dagy_queue.ledger import Phase, RedisConnection, RunLedger
from dagy_queue.ledger.sweeps import SentAgain, SweepLedger
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.states import parked_state
from dagy_queue.requests.retry_policy import over_policy
from tests.integration.waiting import eventually
from tests.unit.dispatch.pass_kit import (
    BADLY,
    STUB,
    WELL,
    Dispatcher,
    app_sig,
    away,
    published,
    resumed,
    sent,
    stopped,
    taken,
)

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

PATIENCE = 10


def twice_at_once(
    dispatcher: Dispatcher, message: dict[str, Any], monkeypatch: pytest.MonkeyPatch, backend_method: str
) -> None:
    """Have two threads work on a message; the first is held up while it tells Celery's backend of the end."""
    backend = type(dispatcher.task.backend)
    method: Callable[..., Any] = getattr(backend, backend_method)
    is_there, may_go_on = threading.Event(), threading.Event()

    def held_up(*args: Any, **options: Any) -> Any:
        if not is_there.is_set():
            is_there.set()
            assert may_go_on.wait(PATIENCE)
        return method(*args, **options)

    monkeypatch.setattr(backend, backend_method, held_up)
    first = threading.Thread(target=dispatcher.works_on, args=(message,))
    first.start()
    assert is_there.wait(PATIENCE)
    dispatcher.works_on(message)
    may_go_on.set()
    first.join(PATIENCE)
    assert not first.is_alive()


def test_a_run_that_is_resumed_twice_at_once_calls_its_links_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice_at_once(dispatcher, resumed(dispatcher, WELL), monkeypatch, "mark_as_done")
    assert sorted(sent(connection)) == ["app.link", "app.next"]
    assert dispatcher.services.runs.get("run").phase is Phase.SUCCEEDED


def test_a_run_that_fails_and_is_resumed_twice_at_once_calls_its_error_callbacks_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice_at_once(dispatcher, resumed(dispatcher, BADLY), monkeypatch, "mark_as_failure")
    assert sent(connection) == ["app.oops"]
    assert dispatcher.services.runs.get("run").phase is Phase.FAILED


def test_a_run_that_is_resumed_twice_at_once_is_retried_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Any] = []
    backend = type(dispatcher.task.backend)
    store = backend.mark_as_retry
    monkeypatch.setattr(backend, "mark_as_retry", lambda *a, **o: (stored.append(a), store(*a, **o)))
    twice_at_once(dispatcher, resumed(dispatcher, BADLY, max_retries=3), monkeypatch, "mark_as_retry")
    assert len(stored) == 1
    entry = dispatcher.services.runs.get("run")
    assert (entry.attempt, entry.retries, entry.phase) == (2, 1, Phase.RETRYING)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_pass_that_was_frozen_overwrites_no_end_that_another_one_has_told(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    message = resumed(dispatcher, BADLY, max_retries=1, retry_delay=0)
    backend = type(dispatcher.task.backend)
    store = backend.mark_as_retry
    runs, admission = dispatcher.services.runs, dispatcher.services.admission

    def frozen(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(backend, "mark_as_retry", store)
        connection.client.zincrby(connection.key("passes"), -100_000, "run")
        assert SweepLedger(connection).lost_messages(1, 60, 10) == [SentAgain("resume", "run")]
        dispatcher.works_on(taken(connection))
        eventually(lambda: admission.lease(1, 60).grants, "its second attempt is granted")
        if is_cancelled:
            runs.cancel("run", "no longer needed", BADLY)
        runs.complete(AttemptId("run", 2), BADLY)
        dispatcher.works_on(taken(connection))
        store(*args, **options)

    monkeypatch.setattr(backend, "mark_as_retry", frozen)
    dispatcher.works_on(message)
    assert runs.get("run").phase is (Phase.CANCELLED if is_cancelled else Phase.FAILED)
    result = dispatcher.services.app.AsyncResult("run")
    assert result.state == (states.REVOKED if is_cancelled else states.FAILURE)
    assert sent(connection) == ["app.oops"]


@pytest.mark.parametrize(
    ("completion", "called", "phase"),
    [(WELL, ["app.link", "app.next"], Phase.SUCCEEDED), (BADLY, ["app.oops"], Phase.FAILED)],
)
@pytest.mark.parametrize("died", ["before its result is stored", "before its end is recorded"])
def test_a_dispatcher_that_dies_in_its_second_pass_leaves_what_follows_to_be_called_once(
    dispatcher: Dispatcher,
    connection: RedisConnection,
    monkeypatch: pytest.MonkeyPatch,
    completion: dict[str, Any],
    called: list[str],
    phase: Phase,
    died: str,
) -> None:
    message = resumed(dispatcher, completion)
    with monkeypatch.context() as patch:
        if died == "before its result is stored":
            patch.setattr(type(dispatcher.task.backend), "store_result", dies)
        else:
            patch.setattr(RunLedger, "finish", dies)
        with contextlib.suppress(Dies):
            dispatcher.works_on(message)
    assert sent(connection) == []
    dispatcher.services.claims.let_go_of_all()
    dispatcher.works_on({**message, "redelivered": True})
    assert sorted(sent(connection)) == called
    assert dispatcher.services.runs.get("run").phase is phase
    dispatcher.works_on({**message, "redelivered": True})
    assert len(sent(connection)) == len(called)


def test_what_follows_a_run_is_called_though_the_ledger_fails_on_its_end(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = resumed(dispatcher, WELL)
    monkeypatch.setattr(RunLedger, "finish", fails)
    dispatcher.works_on(message)
    assert sorted(sent(connection)) == ["app.link", "app.next"]


def test_a_launch_that_follows_a_run_is_in_the_ledger_with_its_message(
    dispatcher: Dispatcher, connection: RedisConnection
) -> None:
    first = Signature(LAUNCH_TASK, kwargs={"request": STUB}, options={"queue": LAUNCH_QUEUE}, immutable=True)
    whole = chain(first.clone(task_id="run"), first.clone(task_id="then"), app_sig("next"))
    (message,) = dispatcher.services.renderer.messages(whole)
    dispatcher.works_on(json.loads(message.message))
    dispatcher.services.admission.lease(1, 60)
    dispatcher.works_on(stopped(dispatcher, "run", WELL))
    assert dispatcher.services.runs.get("then").phase is Phase.QUEUED
    children = dispatcher.services.app.AsyncResult("run").children
    assert [child.id for child in children] == ["then"]
    dispatcher.works_on(taken(connection))
    dispatcher.services.admission.lease(1, 60)
    dispatcher.works_on(stopped(dispatcher, "then", WELL))
    assert sent(connection) == ["app.next"]


def test_a_launch_that_cannot_be_parked_calls_its_error_callbacks_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = published(dispatcher, {**STUB, "org_id": ""})
    twice_at_once(dispatcher, message, monkeypatch, "mark_as_failure")
    dispatcher.works_on(message)
    assert sent(connection) == ["app.oops"]
    assert dispatcher.services.runs.get("run").phase is Phase.FAILED


def test_a_run_that_returned_before_its_ledger_was_told_calls_its_links_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = resumed(dispatcher, WELL)
    dispatcher.services.patiently.end()
    with monkeypatch.context() as patch:
        patch.setattr(RunLedger, "finish", away)
        dispatcher.works_on(message)
    assert dispatcher.services.runs.get("run").phase is Phase.STOPPED
    dispatcher.works_on({**message, "redelivered": True})
    assert sorted(sent(connection)) == ["app.link", "app.next"]
    assert dispatcher.services.runs.get("run").phase is Phase.SUCCEEDED
    assert dispatcher.services.app.AsyncResult("run").get(timeout=PATIENCE)["exit_code"] == 0


@pytest.mark.parametrize(
    ("completion", "called", "state"),
    [(WELL, ["app.link", "app.next"], "SUCCESS"), (BADLY, ["app.oops"], "FAILURE")],
)
def test_a_result_that_redis_lost_before_the_run_was_over_is_stored_again(
    dispatcher: Dispatcher,
    connection: RedisConnection,
    monkeypatch: pytest.MonkeyPatch,
    completion: dict[str, Any],
    called: list[str],
    state: str,
) -> None:
    message = resumed(dispatcher, completion)
    parked = parked_state(dispatcher.task.backend, "run")
    finish = RunLedger.finish

    def finish_after_a_failover(*args: Any, **kwargs: Any) -> bool:
        connection.client.set(parked.key, parked.value)
        return finish(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RunLedger, "finish", finish_after_a_failover)
        dispatcher.works_on(message)
    assert dispatcher.services.app.AsyncResult("run").state == "PARKED"
    dispatcher.works_on(taken(connection))
    assert dispatcher.services.app.AsyncResult("run").state == state
    assert sorted(sent(connection)) == called


def test_error_callbacks_and_the_rest_of_its_chain_hear_of_a_run_that_is_cancelled(
    dispatcher: Dispatcher, connection: RedisConnection
) -> None:
    message = resumed(dispatcher, BADLY)
    dispatcher.services.runs.cancel("run", "no longer needed", BADLY)
    dispatcher.works_on(message)
    assert sent(connection) == ["app.oops"]
    assert dispatcher.services.app.AsyncResult("next").state == states.REVOKED
    assert dispatcher.services.runs.get("run").phase is Phase.CANCELLED


def test_a_chord_hears_of_a_chain_in_it_whose_first_run_is_cancelled(
    dispatcher: Dispatcher, connection: RedisConnection
) -> None:
    first = Signature(LAUNCH_TASK, kwargs={"request": STUB}, options={"queue": LAUNCH_QUEUE}, immutable=True)
    header = [chain(first.clone(task_id="run"), app_sig("next")), app_sig("other").clone(task_id="other")]
    body = app_sig("body").on_error(app_sig("oops"))
    for message in dispatcher.services.renderer.messages(chord(header, body)):
        if json.loads(message.message)["headers"]["id"] == "run":
            dispatcher.works_on(json.loads(message.message))
    dispatcher.services.admission.lease(1, 60)
    dispatcher.services.runs.cancel("run", "no longer needed", BADLY)
    dispatcher.works_on(stopped(dispatcher, "run", BADLY))
    parts = list(connection.client.scan_iter("celery-taskset-meta-*.j"))
    assert [connection.client.zcard(key) for key in parts] == [1]


def test_the_part_of_a_chord_that_is_told_twice_counts_once(
    dispatcher: Dispatcher, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = Signature(LAUNCH_TASK, kwargs={"request": STUB}, options={"queue": LAUNCH_QUEUE}, immutable=True)
    header = [member.clone(task_id=run_id) for run_id in ("one", "two")]
    for message in dispatcher.services.renderer.messages(chord(header, app_sig("body"))):
        dispatcher.works_on(json.loads(message.message))
    dispatcher.services.admission.lease(2, 60)
    one, two = (stopped(dispatcher, run_id, WELL) for run_id in ("one", "two"))
    dispatcher.services.patiently.end()
    with monkeypatch.context() as patch:
        patch.setattr(RunLedger, "finish", away)
        dispatcher.works_on(one)
    dispatcher.works_on({**one, "redelivered": True})
    assert sent(connection) == []
    dispatcher.works_on(two)
    assert sent(connection) == ["app.body"]


class Policies:
    """Stands in for the policies of deployments."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def under(self, request: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return over_policy(request, answer)


@pytest.mark.parametrize(
    ("own", "policy", "phase"),
    [
        ({}, {"max_retries": 2}, Phase.RETRYING),
        ({"max_retries": 0}, {"max_retries": 2}, Phase.FAILED),
        ({}, {"max_retries": 2, "retry_on_exit_codes": [75]}, Phase.FAILED),
        ({}, {"skip_on_exit_code": [3]}, Phase.SUCCEEDED),
    ],
)
def test_a_deployments_retry_policy_counts_below_the_requests_own(
    services: Services, own: dict[str, Any], policy: dict[str, Any], phase: Phase
) -> None:
    dispatcher = Dispatcher(replace(services, policies=Policies(policy)))  # type: ignore[arg-type]
    dispatcher.works_on(resumed(dispatcher, BADLY, deployment_name="prod", **own))
    assert services.runs.get("run").phase is phase


@pytest.mark.parametrize("code", ["ExpiredToken", "NoCredentials"])
def test_a_report_waits_for_credentials_that_aws_takes_and_its_run_does_not_fail_for_them(
    services: Services, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    report = RunReport(run_id="run", attempt=1, status=ReportStatus.SUCCEEDED, result=42)
    answers: list[Any] = [AwsRefused("not taken", code=code), report]

    def read(_: Any, __: str) -> Any:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(ObjectStore, "report", read)
    monkeypatch.setattr(concluding, "report_uri", lambda *_: "s3://bucket/report.json")
    dispatcher = Dispatcher(services)
    flow = {"kind": "flow", "org_id": "acme", "flow_name": "etl", "image": None}
    dispatcher.works_on(resumed(dispatcher, WELL, **flow))
    assert services.runs.get("run").phase is Phase.STOPPED
    connection.client.zadd(connection.key("delayed"), {"run": 0}, xx=True)
    services.admission.lease(1, 60)
    dispatcher.works_on(taken(connection))
    assert services.runs.get("run").phase is Phase.SUCCEEDED
    assert dispatcher.task.AsyncResult("run").get() == 42


def test_a_policy_that_cannot_be_read_for_now_is_waited_for(services: Services, connection: RedisConnection) -> None:
    policies = Policies(AwsUnavailable("no answer"), {"max_retries": 2})
    dispatcher = Dispatcher(replace(services, policies=policies))  # type: ignore[arg-type]
    dispatcher.works_on(resumed(dispatcher, BADLY, deployment_name="prod"))
    assert services.runs.get("run").phase is Phase.STOPPED
    assert connection.client.zscore(connection.key("delayed"), "run")
    connection.client.zadd(connection.key("delayed"), {"run": 0})
    services.admission.lease(1, 60)
    dispatcher.works_on(taken(connection))
    assert services.runs.get("run").phase is Phase.RETRYING


class Dies(BaseException):
    """Stands in for the end of a process."""


def dies(*_: Any, **__: Any) -> Any:
    raise Dies


def fails(*_: Any) -> Any:
    raise LedgerError("user_script:7")
