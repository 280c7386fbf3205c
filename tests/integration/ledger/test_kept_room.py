"""For whom CPU is kept: a large run that has waited, lacks nothing else, and is not passed by its own org."""

from __future__ import annotations

import pytest

from dagy_queue.ledger.admission import Rate
from tests.integration.ledger.admission_kit import DONE, POOL, SLOW, Scene

SPOT = "us-east-1/dagy|FARGATE_SPOT"
ALL = 1024
"""The CPU units of the cluster."""


@pytest.fixture
def waiting(scene: Scene) -> Scene:
    """A run of acme's that needs all of the cluster, and has waited for a small one of beta's, which goes on."""
    scene.park("running", org="beta")
    assert scene.granted(cpu=ALL) == ["running"]
    scene.park("large", cpu=ALL, priority=5)
    assert scene.granted(cpu=ALL) == []
    patience_ends(scene)
    return scene


def patience_ends(scene: Scene) -> None:
    key = scene.connection.key("large", POOL.partition("|")[0])
    assert scene.connection.client.exists(key), "nobody is remembered"
    scene.connection.client.hset(key, "since", 0)


def test_it_is_kept_from_other_orgs(waiting: Scene) -> None:
    waiting.park("small", org="coop")
    assert waiting.granted(cpu=ALL) == []
    waiting.end("running")
    assert waiting.granted(cpu=ALL) == ["large"]


def test_a_pump_is_woken_when_the_run_that_it_is_kept_for_is_cancelled(waiting: Scene) -> None:
    waiting.park("small", org="coop")
    assert waiting.granted(cpu=ALL) == []
    wake = waiting.connection.key("wake")
    waiting.connection.client.delete(wake)
    waiting.runs.cancel("large", "not wanted", DONE)
    assert waiting.connection.client.llen(wake) == 1
    assert waiting.granted(cpu=ALL) == ["small"]


def test_it_is_not_kept_for_a_run_whose_org_may_have_no_more_tasks(waiting: Scene) -> None:
    waiting.park("urgent")
    assert waiting.granted(cpu=ALL, org_tasks=1) == ["urgent"]
    patience_ends(waiting)
    waiting.park("small", org="coop")
    assert waiting.granted(cpu=ALL, org_tasks=1) == ["small"]


def test_it_is_not_kept_for_a_run_whose_org_may_have_no_more_cpu(waiting: Scene) -> None:
    waiting.park("urgent")
    assert waiting.granted(cpu=ALL, org_cpu=ALL) == ["urgent"]
    patience_ends(waiting)
    waiting.park("small", org="coop")
    assert waiting.granted(cpu=ALL, org_cpu=ALL) == ["small"]


def test_it_is_not_kept_for_a_run_behind_one_that_its_orgs_limit_holds_back(scene: Scene) -> None:
    scene.park("running", org="beta", cpu=512)
    scene.park("own")
    assert sorted(scene.granted(cpu=ALL, org_cpu=768)) == ["own", "running"]
    scene.park("large", cpu=512, priority=5)
    assert scene.granted(cpu=ALL, org_cpu=768) == []
    patience_ends(scene)
    scene.park("larger", cpu=768)
    scene.park("small", org="coop")
    assert scene.granted(cpu=ALL, org_cpu=768) == ["small"]


def test_other_orgs_go_on_when_its_own_orgs_urgent_runs_take_it(waiting: Scene) -> None:
    waiting.park("first-of-beta", org="beta")
    assert waiting.granted(cpu=ALL) == []
    waiting.park("urgent")
    assert sorted(waiting.granted(cpu=ALL)) == ["first-of-beta", "urgent"]
    waiting.park("small", org="coop")
    assert waiting.granted(cpu=ALL) == ["small"]


@pytest.mark.parametrize("pool", [POOL, SPOT])
def test_an_org_that_passes_its_own_large_run_again_and_again_keeps_no_other_large_run_waiting(
    waiting: Scene, pool: str
) -> None:
    waiting.park("large-of-coop", org="coop", cpu=ALL)
    waiting.park("urgent", pool=pool)
    assert waiting.granted(cpu=ALL) == ["urgent"]
    patience_ends(waiting)
    waiting.park("urgent-again", pool=pool)
    assert waiting.granted(cpu=ALL) == []
    waiting.end("running", "urgent")
    assert waiting.granted(cpu=ALL) == ["large-of-coop"]


def test_urgent_runs_of_its_own_org_do_not_prolong_its_first_wait(scene: Scene) -> None:
    scene.park("running", org="beta")
    scene.granted(cpu=ALL)
    scene.park("large", cpu=ALL, priority=5)
    scene.granted(cpu=ALL)
    key = scene.connection.key("large", POOL.partition("|")[0])
    since = scene.connection.client.hget(key, "since")
    scene.park("urgent")
    assert scene.granted(cpu=ALL) == ["urgent"]
    assert scene.connection.client.hgetall(key) == {"run": "large", "pool": POOL, "org": "acme", "since": since}


def test_it_is_kept_from_what_its_org_has_behind_it_in_another_capacity(waiting: Scene) -> None:
    waiting.park("behind", pool=SPOT, priority=5)
    assert waiting.granted(cpu=ALL) == []
    waiting.park("before", pool=SPOT, priority=4)
    assert waiting.granted(cpu=ALL) == ["before", "behind"]


def test_what_is_left_beside_it_goes_in_the_same_call_also_if_its_turn_was_before(scene: Scene) -> None:
    scene.park("running", org="beta", cpu=768)
    scene.granted(cpu=ALL)
    scene.park("large", cpu=640, priority=5)
    assert scene.granted(cpu=ALL) == []
    scene.park("beside", org="coop", cpu=384)
    scene.park("urgent")
    assert scene.granted(cpu=ALL) == ["urgent"], "acme's next turn is after coop's"
    patience_ends(scene)
    scene.end("running", "urgent")
    assert scene.granted(cpu=ALL) == ["large", "beside"]


def test_another_large_run_is_remembered_in_place_of_one_that_could_not_go(waiting: Scene) -> None:
    waiting.park("urgent")
    assert waiting.granted(cpu=ALL, org_tasks=1) == ["urgent"]
    waiting.park("large-of-coop", org="coop", cpu=ALL)
    assert waiting.granted(cpu=ALL, org_tasks=1) == []
    patience_ends(waiting)
    waiting.park("small", org="delta")
    assert waiting.granted(cpu=ALL, org_tasks=1) == []
    waiting.end("running", "urgent")
    assert waiting.granted(cpu=ALL, org_tasks=1) == ["large-of-coop"]


def test_another_large_run_is_remembered_as_soon_as_one_has_gone(scene: Scene) -> None:
    scene.park("running", org="beta", cpu=768)
    scene.granted(cpu=ALL)
    scene.park("large", cpu=512, priority=5)
    assert scene.granted(cpu=ALL) == []
    scene.park("large-of-coop", org="coop", cpu=ALL)
    scene.park("urgent")
    assert scene.granted(cpu=ALL) == ["urgent"], "acme's next turn is after coop's"
    scene.end("running")
    assert scene.granted(cpu=ALL) == ["large"]
    key = scene.connection.key("large", POOL.partition("|")[0])
    assert scene.connection.client.hget(key, "run") == "large-of-coop"


def test_one_that_waits_longer_is_not_replaced_by_another(waiting: Scene) -> None:
    waiting.park("large-of-coop", org="coop", cpu=ALL)
    assert waiting.granted(cpu=ALL) == []
    waiting.end("running")
    assert waiting.granted(cpu=ALL) == ["large"]


def test_it_is_still_kept_while_its_launch_waits_for_a_token(waiting: Scene) -> None:
    one = Rate(SLOW, 1)
    waiting.park("elsewhere", pool="us-east-1/other|FARGATE")
    assert waiting.granted(cpu=ALL, launches=one) == ["elsewhere"]
    waiting.end("running")
    assert waiting.granted(cpu=ALL, launches=one) == []
    waiting.park("small", org="coop", pool="us-east-1/dagy|EC2")
    assert waiting.granted(cpu=ALL, launches=one) == []
