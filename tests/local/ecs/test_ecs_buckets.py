"""Token buckets: never more than the burst, never more than the rate allows, and nothing taken when refused."""

from __future__ import annotations

from ecs_kit import SPOT, Clock, Kit, run_request, simulated
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.local.ecs import AWS_DEFAULT_LIMITS, Limits, Rate
from dagy_queue.local.ecs.buckets import Meters


@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 10)), max_size=60),
)
def test_no_window_holds_more_than_burst_and_rate_allow(
    per_second: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock(0.0)
    meters = Meters(Limits(launches=Rate(per_second, burst)), clock)
    admitted: list[tuple[float, int]] = []
    for wait, count in steps:
        clock.now += wait
        if meters.admit_launches(count, spot=False):
            admitted.append((clock.now, count))
    for start, _ in admitted:
        for end, _ in admitted:
            inside = sum(count for at, count in admitted if start <= at <= end)
            assert end < start or inside <= burst + per_second * (end - start) + 1e-6


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_refused_launch_takes_nothing(burst: int, count: int) -> None:
    meters = Meters(Limits(launches=Rate(1, burst)), Clock())
    if not meters.admit_launches(count, spot=False):
        assert meters.admit_launches(burst, spot=False)


def test_without_limits_nothing_is_refused() -> None:
    meters = Meters(Limits(), Clock())
    assert all(meters.admit_call("RunTask") and meters.admit_launches(10, spot=True) for _ in range(1000))


def test_spot_and_on_demand_launches_have_buckets_of_their_own() -> None:
    meters = Meters(AWS_DEFAULT_LIMITS, Clock())
    assert meters.admit_launches(100, spot=False)
    assert not meters.admit_launches(1, spot=False)
    assert meters.admit_launches(100, spot=True)


def test_run_task_is_throttled_beyond_twenty_calls_and_again_after_a_second() -> None:
    clock = Clock()

    async def test(kit: Kit) -> None:
        await kit.register()
        for _ in range(2):
            for _ in range(20):
                await kit.run()
            error = await kit.refusal("RunTask", **run_request())
            assert (error.code, error.message, error.status) == ("ThrottlingException", "Rate exceeded", 400)
            clock.now += 1.0
        stats = await kit.ecs.admin("stats", {})
        assert (stats["calls"]["RunTask"], stats["throttled"]) == (42, {"RunTask": 2})
        assert stats["tasks_created"] == len(stats["run_task_times"]) == 40
        assert stats["run_task_per_second"] == {"1800000000": 20, "1800000001": 20}

    simulated(test, limits=AWS_DEFAULT_LIMITS, clock=clock)


def test_launches_are_counted_by_task_and_all_or_none() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.call("RunTask", **run_request(count=10, **SPOT))
        assert (await kit.refusal("RunTask", **run_request(count=3, **SPOT))).code == "ThrottlingException"
        await kit.call("RunTask", **run_request(count=2, **SPOT))

    simulated(test, limits=Limits(spot_launches=Rate(20, 12)), clock=Clock())


def test_a_replayed_token_takes_no_launch() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        first = await kit.run(clientToken="t")
        assert (await kit.run(clientToken="t"))["taskArn"] == first["taskArn"]

    simulated(test, limits=Limits(launches=Rate(1, 1)), clock=Clock())


def test_other_operations_have_their_own_buckets() -> None:
    async def test(kit: Kit) -> None:
        for _ in range(20):
            await kit.register()
        error = await kit.refusal("RegisterTaskDefinition", family="x")
        assert error.code == "ThrottlingException"
        await kit.call("DescribeTaskDefinition", taskDefinition="flow")

    simulated(test, limits=AWS_DEFAULT_LIMITS, clock=Clock())


def test_limits_can_be_changed_while_it_runs() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        await kit.ecs.admin("limits", {"run_task_calls": {"per_second": 1, "burst": 1}})
        await kit.run()
        assert (await kit.refusal("RunTask", **run_request())).code == "ThrottlingException"
        await kit.ecs.admin("limits", {"preset": "none"})
        await kit.run()

    simulated(test, clock=Clock())
