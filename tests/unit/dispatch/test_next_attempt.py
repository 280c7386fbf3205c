from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.next_attempt import changed_request, growth_limits, next_attempt
from dagy_queue.dispatch.retries import Budget, Retry
from dagy_queue.ids import AttemptId
from dagy_queue.ledger.attempts import NextAttempt, StoppedRun
from dagy_queue.requests import ContainerRequest
from dagy_queue.requests.changes import Change
from dagy_queue.settings import Settings, load_settings

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
ENDED = {"kind": "spot", "summary": "s"}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return load_settings(ecs={"cluster": "dagy"}, aws={"region": "us-east-1"})


def container(**fields: Any) -> ContainerRequest:
    return ContainerRequest(org_id="acme", image="job:1", **fields)


def after(
    config: Settings, request: ContainerRequest, budget: Budget, change: Change, before: Any = None
) -> NextAttempt:
    stopped = StoppedRun(
        attempt_id=AttemptId("r", 1),
        retries=0,
        completion={},
        cancel_reason="",
        request={},
        batch_id="",
        shard=None,
        change=before or {},
    )
    return next_attempt(config, request, stopped, Retry(budget=budget, delay=1, change=change), ENDED)


@pytest.mark.parametrize("budget", Budget)
def test_an_attempt_like_the_one_before_is_only_counted(config: Settings, budget: Budget) -> None:
    counted = "" if budget is Budget.CODE else str(budget)
    assert after(config, container(), budget, Change()) == NextAttempt(counted=counted, ended=ENDED)


def test_a_run_that_leaves_spot_waits_in_another_pool(config: Settings) -> None:
    asked = container(capacity_provider_strategy=SPOT)
    again = after(config, asked, Budget.SPOT, Change(on_demand=True))
    assert (again.pool, again.change, again.cpu) == ("us-east-1/dagy|FARGATE", {"on_demand": True}, None)
    assert changed_request(config, asked, again.change).launch_type == "FARGATE"


def test_the_settings_may_be_what_puts_a_run_on_spot(config: Settings) -> None:
    ecs = config.ecs.model_copy(
        update={"capacity_provider_strategy": container(capacity_provider_strategy=SPOT).capacity_provider_strategy}
    )
    again = after(config.model_copy(update={"ecs": ecs}), container(), Budget.SPOT, Change(on_demand=True))
    assert again.pool == "us-east-1/dagy|FARGATE"


def test_a_run_that_is_not_on_spot_has_nothing_to_change(config: Settings) -> None:
    assert after(config, container(), Budget.SPOT, Change(on_demand=True)).change == {}


def test_run_task_kwargs_count_more_than_the_fallback(config: Settings) -> None:
    asked = container(run_task_kwargs={"capacityProviderStrategy": SPOT})
    assert after(config, asked, Budget.SPOT, Change(on_demand=True)).pool == ""


def test_a_run_that_grows_keeps_its_pool_and_takes_the_cpu_that_goes_with_it(config: Settings) -> None:
    again = after(config, container(cpu=256, memory=2048), Budget.MEMORY, Change(cpu=512, memory=3072))
    assert (again.pool, again.cpu, again.change) == ("", 512, {"cpu": 512, "memory": 3072})


def test_changes_add_up(config: Settings) -> None:
    before = {"on_demand": True}
    asked = changed_request(config, container(capacity_provider_strategy=SPOT), before)
    again = after(config, asked, Budget.MEMORY, Change(cpu=256, memory=1024), before)
    assert again.change == {"on_demand": True, "cpu": 256, "memory": 1024}
    assert again.pool == ""


def test_a_run_grows_up_to_the_clusters_limits(config: Settings) -> None:
    ecs = config.ecs.model_copy(update={"max_cpu": 1024, "max_memory": 4096})
    limits = growth_limits(config.model_copy(update={"ecs": ecs}))
    assert limits.allow(1024, 4096)
    assert not limits.allow(1024, 5120)
    assert not limits.allow(2048, 4096)
    assert growth_limits(config).allow(32768, 249856)
