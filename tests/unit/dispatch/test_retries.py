from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.dispatch.retries import Budget, Retry, backoff, is_skipped, plan_retry
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.changes import Change
from dagy_queue.requests.limits import ClusterLimits
from dagy_queue.requests.sizes import MEMORY_OF_CPU
from tests.unit.strategies import sizes, unhurried

CODE = (Kind.FAILED, Kind.TIMED_OUT, Kind.LOST)
NEVER = (Kind.SUCCEEDED, Kind.CANCELLED, Kind.CAPACITY)
EVERY_BUDGET = {"max_retries": 9, "oom_retries": 9, "spot_retries": 9, "start_retries": 9}

budgets = st.fixed_dictionaries({budget.value: st.integers(0, 5) for budget in Budget})
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(Kind),
    summary=st.just("s"),
    exit_code=st.none() | st.integers(0, 255),
    transient=st.booleans(),
)


def request(**fields: Any) -> LaunchRequest:
    return LaunchRequest(flow_name="f", org_id="o", **fields)


def ended(kind: Kind, **fields: Any) -> Outcome:
    return Outcome(kind=kind, summary="s", **fields)


def planned(outcome: Outcome, used: int = 0, **fields: Any) -> Retry | None:
    asked = request(**fields)
    return plan_retry(asked, outcome, dict.fromkeys(Budget, used))


@pytest.mark.parametrize("kind", CODE)
def test_an_end_that_the_code_brought_about_is_paid_for_by_max_retries(kind: Kind) -> None:
    retry = planned(ended(kind), max_retries=1)
    assert retry is not None
    assert (retry.budget, retry.change) == (Budget.CODE, Change())
    assert planned(ended(kind), used=1, max_retries=1) is None


@pytest.mark.parametrize("kind", NEVER)
def test_some_ends_are_never_tried_again(kind: Kind) -> None:
    assert planned(ended(kind, transient=True), **EVERY_BUDGET) is None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SPOT])
def test_a_request_that_says_nothing_has_no_retries_of_what_its_code_or_itself_is_to_blame_for(kind: Kind) -> None:
    assert planned(ended(kind)) is None


def test_a_request_that_says_nothing_is_tried_five_times_more_where_aws_is_to_blame() -> None:
    for outcome in (ended(Kind.SPOT), ended(Kind.START_FAILED, transient=True)):
        assert planned(outcome, used=4) is not None
        assert planned(outcome, used=5) is None


def test_a_start_that_will_fail_again_is_not_tried_again() -> None:
    assert planned(ended(Kind.START_FAILED, transient=False), **EVERY_BUDGET) is None


def test_an_interruption_is_made_good_at_once() -> None:
    retry = planned(ended(Kind.SPOT), retry_delay=3600)
    assert retry is not None
    assert retry.delay == 0


@pytest.mark.parametrize(("used", "on_demand"), [(0, False), (1, True), (4, True)])
def test_a_run_that_was_interrupted_too_often_goes_on_demand(used: int, on_demand: bool) -> None:
    retry = planned(ended(Kind.SPOT), used=used, spot_fallback_after=2)
    assert retry == Retry(budget=Budget.SPOT, delay=0, change=Change(on_demand=on_demand))


@pytest.mark.parametrize(("code", "again"), [(75, True), (1, False), (None, False), (0, False)])
def test_only_the_exit_codes_that_are_named_are_tried_again(code: int | None, again: bool) -> None:
    retry = planned(ended(Kind.FAILED, exit_code=code), max_retries=1, retry_on_exit_codes=[75, 111])
    assert (retry is not None) == again


def test_named_exit_codes_say_nothing_of_other_ends() -> None:
    assert planned(ended(Kind.LOST), max_retries=1, retry_on_exit_codes=75) is not None
    assert planned(ended(Kind.OUT_OF_MEMORY, exit_code=137), oom_retries=1, retry_on_exit_codes=75) is not None


@pytest.mark.parametrize(
    ("kind", "code", "skipped"),
    [(Kind.FAILED, 99, True), (Kind.FAILED, 1, False), (Kind.FAILED, None, False), (Kind.SPOT, 99, False)],
)
def test_a_failure_with_a_code_that_says_so_is_skipped(kind: Kind, code: int | None, skipped: bool) -> None:
    assert is_skipped(request(skip_on_exit_code=99), ended(kind, exit_code=code)) == skipped


@unhurried
@given(sizes)
def test_a_run_out_of_memory_gets_the_next_larger_size_that_fargate_has(size: tuple[int, int]) -> None:
    cpu, memory = size
    retry = planned(ended(Kind.OUT_OF_MEMORY, cpu=cpu, memory=memory), oom_retries=1, grow_on_oom=True)
    assert retry is not None
    larger = retry.change
    if larger == Change():
        assert memory == max(MEMORY_OF_CPU[32768])
        return
    assert larger.cpu is not None
    assert larger.memory is not None
    assert larger.memory > memory
    assert larger.memory in MEMORY_OF_CPU[larger.cpu]
    at_this_cpu = [m for m in MEMORY_OF_CPU[cpu] if m > memory]
    assert (larger.cpu, larger.memory) == (cpu, at_this_cpu[0]) if at_this_cpu else larger.cpu > cpu


def test_a_run_grows_by_its_own_size_where_ecs_tells_none() -> None:
    retry = planned(ended(Kind.OUT_OF_MEMORY), oom_retries=1, grow_on_oom=True, workload_profile="small")
    assert retry is not None
    assert retry.change == Change(cpu=256, memory=1024)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"grow_on_oom": False}, {"cpu": 256, "memory": 512}),
        ({"grow_on_oom": True}, {}),
        ({"grow_on_oom": True}, {"cpu": 32768, "memory": 249856}),
        ({"grow_on_oom": True}, {"cpu": 333, "memory": 512}),
    ],
    ids=["not asked for", "size not known", "nothing larger", "not a size of Fargate"],
)
def test_a_run_that_cannot_grow_is_tried_as_it_is(fields: dict[str, Any], outcome: dict[str, Any]) -> None:
    retry = planned(ended(Kind.OUT_OF_MEMORY, **outcome), oom_retries=1, **fields)
    assert retry is not None
    assert retry.change == Change()


@pytest.mark.parametrize("limits", [ClusterLimits(max_memory=1024), ClusterLimits(max_cpu=128)], ids=["memory", "cpu"])
def test_a_run_does_not_grow_beyond_its_clusters_limits(limits: ClusterLimits) -> None:
    outcome = ended(Kind.OUT_OF_MEMORY, cpu=256, memory=1024)
    retry = plan_retry(request(oom_retries=1, grow_on_oom=True), outcome, {}, limits)
    assert retry is not None
    assert retry.change == Change()


@unhurried
@given(budgets, st.lists(outcomes, max_size=40), st.sampled_from([(), (1, 2)]))
def test_no_sequence_of_ends_exceeds_any_budget(
    allowed: dict[str, int], ends: list[Outcome], codes: tuple[int, ...]
) -> None:
    asked = request(**allowed, retry_on_exit_codes=codes)
    counts: Counter[str] = Counter()
    for outcome in ends:
        retry = plan_retry(asked, outcome, counts)
        if retry is not None:
            counts[retry.budget] += 1
        assert all(counts[budget] <= most for budget, most in allowed.items())


@unhurried
@given(outcomes, budgets, budgets)
def test_a_plan_is_the_same_each_time_but_for_its_jitter(
    outcome: Outcome, allowed: dict[str, int], counts: dict[str, int]
) -> None:
    plans = [plan_retry(request(**allowed, retry_delay=0), outcome, counts) for _ in range(2)]
    assert plans[0] == plans[1]


@unhurried
@given(st.floats(0, 86_400), st.integers(0, 10_000))
def test_a_wait_is_anything_up_to_its_ceiling_and_an_hour(base: float, times: int) -> None:
    assert 0 <= backoff(base, times) <= min(3600, base * 2 ** min(times, 60))


def test_waits_are_spread_from_nothing_to_the_ceiling() -> None:
    waits = [backoff(100, 1) for _ in range(500)]
    assert min(waits) < 20
    assert max(waits) > 180
