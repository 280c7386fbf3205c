"""Whether the API lives, and whether it can do its work: for load balancers and health checks. They need no token."""

from __future__ import annotations

from fastapi import APIRouter

from dagy_queue.operate.api.answers import Failed, Healthy
from dagy_queue.operate.api.desk import Answer, TheDesk

router = APIRouter(tags=["health"])


@router.get("/health", response_model=Healthy)
def health() -> Answer:
    """Say that the process answers."""
    return Healthy(status="ok").answer()


@router.get("/ready", response_model=Healthy, responses={503: {"model": Failed}})
def ready(desk: TheDesk) -> Answer:
    """Say whether Redis can be reached; 503 if not. In direct mode there is none to reach."""
    if desk.config.launch.mode != "direct":
        redis = desk.publisher.redis
        with redis.errors():
            redis.client.ping()
    return Healthy(status="ready").answer()
