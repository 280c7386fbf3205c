"""What all dispatchers keep to, from the settings; the pump gives it to the ledger with every call for grants."""

from __future__ import annotations

from dagy_queue.ledger.admission import Limits, Rate
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.limits import size_with
from dagy_queue.settings import Settings

_UNITS_PER_VCPU = 1024


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings set."""
    limits = settings.limits
    return Limits(
        calls=_rate(limits.run_task_rate, limits.run_task_burst),
        launches=_rate(limits.launch_rate, limits.launch_burst),
        stops=_rate(limits.stop_task_rate, limits.stop_task_burst),
        tasks=limits.max_tasks,
        cpu=_units(limits.max_vcpus),
        org_tasks=limits.max_tasks_per_org,
        org_cpu=_units(limits.max_vcpus_per_org),
    )


def cpu_units_of(request: LaunchRequest | ContainerRequest, settings: Settings) -> int:
    """Return the CPU units that a run counts for until its launch tells: its own, or else the settings'.

    Its deployment or task definition may decide otherwise; that is looked up only for the launch.
    """
    cpu, _ = size_with(request.run_task_kwargs, *(request.size or (settings.ecs.cpu, None)))
    return cpu or settings.ecs.cpu


def _rate(rate: float | None, burst: float) -> Rate | None:
    return None if rate is None else Rate(rate, burst)


def _units(vcpus: float | None) -> int | None:
    return None if vcpus is None else int(vcpus * _UNITS_PER_VCPU)
