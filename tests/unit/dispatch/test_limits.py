from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.limits import cpu_units_of, limits_of
from dagy_queue.ledger.admission import Rate
from dagy_queue.requests import ContainerRequest
from dagy_queue.settings import load_settings


def test_the_defaults_are_fargates_quotas_less_what_may_arrive_late() -> None:
    limits = limits_of(load_settings())
    assert limits.calls == Rate(20, 15)
    assert limits.launches == Rate(20, 100)
    assert limits.stops is not None
    assert limits.stops.rate + limits.calls.rate <= 40, "StopTask and RunTask share a quota of 40 a second"
    assert (limits.tasks, limits.cpu, limits.org_tasks, limits.org_cpu) == (None, None, None, None)


@pytest.mark.parametrize(
    ("setting", "limit"), [("run_task_rate", "calls"), ("launch_rate", "launches"), ("stop_task_rate", "stops")]
)
def test_an_empty_rate_is_no_limit(setting: str, limit: str) -> None:
    assert getattr(limits_of(load_settings(limits={setting: None})), limit) is None


def test_vcpus_are_counted_in_units_and_may_be_fractions() -> None:
    limits = limits_of(load_settings(limits={"max_vcpus": 6, "max_vcpus_per_org": 0.5}))
    assert (limits.cpu, limits.org_cpu) == (6 * 1024, 512)


def test_tasks_are_counted_as_they_are() -> None:
    limits = limits_of(load_settings(limits={"max_tasks": 50, "max_tasks_per_org": 5}))
    assert (limits.tasks, limits.org_tasks) == (50, 5)


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ({"cpu": 2048, "memory": 4096}, 2048),
        ({}, 512),
        ({"run_task_kwargs": {"overrides": {"cpu": "1024", "memory": "2048"}}}, 1024),
    ],
)
def test_a_run_counts_for_its_own_size_or_the_settings(fields: dict[str, Any], units: int) -> None:
    settings = load_settings(ecs={"cpu": 512, "memory": 1024})
    assert cpu_units_of(ContainerRequest(org_id="acme", image="job:1", **fields), settings) == units
