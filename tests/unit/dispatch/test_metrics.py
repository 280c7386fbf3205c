from __future__ import annotations

import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from dagy_queue.dispatch.metrics import DispatchMetrics, MetricsServer, Refused
from dagy_queue.errors import (
    AwsCapacity,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    FlowNotFound,
    RedisUnavailable,
    SettingsInvalid,
)
from dagy_queue.settings import DispatchSettings


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_launch_is_measured_and_counted() -> None:
    metrics = DispatchMetrics()
    with metrics.launching():
        pass
    assert value(metrics.registry, "dagy_launches_total") == 1
    assert value(metrics.registry, "dagy_launch_seconds_count") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AwsThrottled("slow down"), Refused.THROTTLED),
        (AwsCapacity("full"), Refused.CAPACITY),
        (AwsUnavailable("no answer"), Refused.UNAVAILABLE),
        (RedisUnavailable("away"), Refused.UNAVAILABLE),
        (AwsRefused("no"), Refused.INVALID),
        (AwsRefused("no", code="ExpiredTokenException"), Refused.CREDENTIALS),
        (FlowNotFound("none"), Refused.INVALID),
        (KeyError("defect"), Refused.CRASHED),
    ],
)
def test_a_launch_that_did_not_happen_is_counted_by_its_reason(error: Exception, reason: Refused) -> None:
    metrics = DispatchMetrics()
    with pytest.raises(type(error)), metrics.launching():
        raise error
    assert value(metrics.registry, "dagy_launches_refused_total", reason=reason.value) == 1
    assert value(metrics.registry, "dagy_launches_total") == 0
    assert value(metrics.registry, "dagy_launch_seconds_count") == 1


def test_an_alert_sees_the_first_throttle_as_an_increase() -> None:
    registry = DispatchMetrics().registry
    assert all(value(registry, "dagy_launches_refused_total", reason=reason.value) == 0 for reason in Refused)


def test_threads_are_busy_for_as_long_as_they_launch() -> None:
    metrics = DispatchMetrics()
    metrics.has_threads(32)
    with metrics.busy():
        assert value(metrics.registry, "dagy_dispatcher_busy_threads") == 1
    assert value(metrics.registry, "dagy_dispatcher_busy_threads") == 0
    assert value(metrics.registry, "dagy_dispatcher_threads") == 32


def test_the_metrics_are_served_until_they_are_stopped() -> None:
    metrics = DispatchMetrics()
    metrics.granted(3)
    metrics.stopped()
    server = MetricsServer(DispatchSettings(metrics_port=0), metrics)
    server.start()
    with urllib.request.urlopen(server.url, timeout=10) as answer:  # noqa: S310
        text = answer.read().decode()
    server.stop()
    assert "dagy_dispatcher_granted_total 3.0" in text
    assert "dagy_stops_total 1.0" in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(server.url, timeout=10)  # noqa: S310


def test_a_port_in_use_is_told_with_the_setting_that_changes_it() -> None:
    metrics = DispatchMetrics()
    server = MetricsServer(DispatchSettings(metrics_port=0), metrics)
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(SettingsInvalid, match="DAGY_QUEUE__DISPATCH__METRICS_PORT"):
        MetricsServer(DispatchSettings(metrics_port=port), metrics)
    server.stop()
