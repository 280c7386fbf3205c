from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy_queue.dispatch import health, worker
from dagy_queue.dispatch.health import PATIENCE, cluster_and_region, require_health, template_problem
from dagy_queue.errors import HealthCheckFailed
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.free_port import free_port
from dagy_queue.settings import Settings, load_settings
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.kit import CLUSTER_ARN

ACTIVE = {"clusters": [{"clusterName": "dagy", "status": "ACTIVE"}], "failures": []}
MISSING: dict[str, Any] = {"clusters": [], "failures": [{"arn": CLUSTER_ARN, "reason": "MISSING"}]}
COMPLETE = {"subnets": ("subnet-1",), "execution_role_arn": "arn:aws:iam::1:role/execution"}

Make = Callable[..., Settings]


class Clock:
    """Time that passes only by pausing; ``at_pause`` is called each time."""

    def __init__(self, at_pause: Callable[[], object] = lambda: None) -> None:
        self.seconds = 0.0
        self._at_pause = at_pause

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self._at_pause()

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def make(connection: RedisConnection) -> Make:
    def make(url: str = "", **ecs: Any) -> Settings:
        return load_settings(
            redis={"url": url or connection.settings.url, "socket_timeout": 1},
            storage={"artifact_bucket": "artifacts"},
            ecs={**COMPLETE, **ecs},
        )

    return make


def check(config: Settings, aws: ScriptedAws, clock: Clock | None = None) -> list[Any]:
    """Run the check; return what it logged."""
    clock = clock or Clock()
    with capture_logs() as logs:
        require_health(config, aws, pause=clock.pause, now=clock.now)
    return logs


def failure(config: Settings, aws: ScriptedAws, clock: Clock | None = None) -> str:
    with pytest.raises(HealthCheckFailed) as caught:
        check(config, aws, clock)
    return str(caught.value)


def answer(aws: ScriptedAws, response: dict[str, Any], cluster: str = "dagy") -> None:
    aws.control_stub.add_response("describe_clusters", response, {"clusters": [cluster]})


def refuse(aws: ScriptedAws, code: str, status: int = 400) -> None:
    aws.control_stub.add_client_error("describe_clusters", code, "no", http_status_code=status)


def test_all_is_well_without_a_word(make: Make, aws: ScriptedAws) -> None:
    answer(aws, ACTIVE)
    assert check(make(), aws) == []


def test_a_missing_cluster_is_named_with_what_to_do(make: Make, aws: ScriptedAws) -> None:
    answer(aws, MISSING, CLUSTER_ARN)
    said = failure(make(cluster=CLUSTER_ARN), aws)
    assert f"error: cluster {CLUSTER_ARN} does not exist in region us-east-1; correct DAGY_ECS_CLUSTER_ARN" in said


def test_every_problem_is_in_one_message(make: Make, aws: ScriptedAws) -> None:
    answer(aws, MISSING)
    said = failure(make(subnets="", max_cpu=128), aws)
    assert all(part in said for part in ("does not exist", "warning: no subnets", "error: ecs.cpu is 256")), said
    assert "DAGY_QUEUE__DISPATCH__CHECK_HEALTH_ON_STARTUP=false" in said


def test_a_role_that_may_not_look_is_only_warned(make: Make, aws: ScriptedAws) -> None:
    refuse(aws, "AccessDeniedException")
    (warning,) = check(make(), aws)
    assert warning["log_level"] == "warning"
    assert "ecs:DescribeClusters" in warning["resolution"]


def test_wrong_credentials_end_it_at_once(make: Make, aws: ScriptedAws) -> None:
    refuse(aws, "UnrecognizedClientException")
    clock = Clock()
    assert "credentials" in failure(make(), aws, clock)
    assert clock.seconds == 0


def test_an_aws_that_comes_back_is_waited_for(make: Make, aws: ScriptedAws) -> None:
    refuse(aws, "ServerException", 503)
    clock = Clock(at_pause=lambda: answer(aws, ACTIVE))
    (waiting,) = check(make(), aws, clock)
    assert "trying again" in waiting["event"]


def test_a_redis_that_stays_away_ends_it_after_a_while(
    monkeypatch: pytest.MonkeyPatch, make: Make, aws: ScriptedAws
) -> None:
    monkeypatch.setattr(health, "PAUSE", 10.0)
    answer(aws, ACTIVE)
    clock = Clock(at_pause=lambda: answer(aws, ACTIVE))
    port = free_port()
    said = failure(make(f"redis://:secret@127.0.0.1:{port}/0"), aws, clock)
    assert f"unreachable: Redis at redis://127.0.0.1:{port}/0 cannot be reached" in said
    assert clock.seconds == PATIENCE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "JSON"),
        ("[]", "a JSON object"),
        ("{}", "containerDefinitions is missing"),
    ],
)
def test_a_template_that_cannot_be_used_is_told(make: Make, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "task.json"
    if content is not None:
        path.write_text(content)
    problem = template_problem(make(task_definition_template=str(path)))
    assert said in problem
    assert str(path) in problem


def test_a_right_template_is_no_problem(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"family": "f", "containerDefinitions": [{"name": "main", "image": "alpine"}]}))
    assert template_problem(make(task_definition_template=str(path))) == ""
    assert template_problem(make()) == ""


@pytest.mark.parametrize(
    ("ecs", "expected"),
    [
        ({}, ("dagy", "us-east-1")),
        ({"cluster": CLUSTER_ARN.replace("us-east-1", "eu-west-1")}, ("cluster/dagy", "eu-west-1")),
        ({"run_task_kwargs": {"cluster": "other"}}, ("other", "us-east-1")),
    ],
)
def test_the_cluster_is_looked_for_where_launches_go(make: Make, ecs: Any, expected: tuple[str, str]) -> None:
    cluster, region = cluster_and_region(make(**ecs))
    assert (cluster.rpartition(":")[2], region) == expected


@pytest.mark.parametrize("wanted", [True, False])
def test_a_dispatcher_is_checked_before_it_starts_if_it_shall_be(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    order: list[str] = []

    class App:
        conf = SimpleNamespace(worker_pool="threads")
        exitcode = 0

        def Worker(self, **_: Any) -> App:  # noqa: N802 - Celery's name
            return self

        def start(self) -> None:
            order.append("start")

    monkeypatch.setattr(worker, "require_health", lambda *_: order.append("check"))
    monkeypatch.setattr(worker, "make_dispatcher_app", lambda _config: App())
    assert worker.run_dispatcher(load_settings(dispatch={"check_health_on_startup": wanted})) == 0
    assert order == (["check", "start"] if wanted else ["start"])
