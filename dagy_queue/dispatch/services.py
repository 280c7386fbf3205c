"""The parts a dispatcher process is made of, built once and handed to its tasks, pump and commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from celery import Celery

from dagy_queue.aws.clients import AwsClients
from dagy_queue.dispatch.claims import Claims
from dagy_queue.dispatch.deployment_policies import DeploymentPolicies
from dagy_queue.dispatch.failure_logs import FailureLogs
from dagy_queue.dispatch.persistence import Patience
from dagy_queue.ledger import AdmissionLedger, BatchLedger, RedisConnection, RunLedger
from dagy_queue.messaging.render import Renderer
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.shards import number_of, shard_request
from dagy_queue.requests.templating import rendered
from dagy_queue.settings import Settings

_BATCHES_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Services:
    """What the rooms of the dispatcher share."""

    settings: Settings
    app: Celery
    redis: RedisConnection
    runs: RunLedger
    admission: AdmissionLedger
    batches: BatchLedger
    aws: AwsClients
    renderer: Renderer
    requests: RequestReader
    failure_logs: FailureLogs
    patiently: Patience
    """Does something with Redis, again while it is away."""
    claims: Claims
    policies: DeploymentPolicies

    @classmethod
    def build(cls, settings: Settings, app: Celery) -> Services:
        """Connect the parts. Nothing is opened before it is used."""
        redis = RedisConnection(settings.redis)
        batches, runs = BatchLedger(redis), RunLedger(redis)
        return cls(
            settings=settings,
            app=app,
            redis=redis,
            runs=runs,
            admission=AdmissionLedger(redis),
            batches=batches,
            aws=AwsClients(settings.aws, max_connections=settings.dispatch.launch_threads),
            renderer=Renderer(app),
            requests=RequestReader(batches),
            failure_logs=FailureLogs(settings),
            patiently=Patience(),
            claims=Claims(runs, settings.reconciler.longest_pass),
            policies=DeploymentPolicies(settings.records.latest_ttl),
        )


class RequestReader:
    """Gives a run's full request; a batch's shared request is read once per process."""

    def __init__(self, batches: BatchLedger) -> None:
        self._base = lru_cache(maxsize=_BATCHES_REMEMBERED)(lambda batch_id: batches.get(batch_id).request)

    def read(
        self, run_id: str, own: Mapping[str, Any], batch_id: str = "", shard: int | None = None
    ) -> LaunchRequest | ContainerRequest:
        """Return the request of a run, or of a shard by what differs. Raises RequestInvalid, BatchNotFound.

        A single run's templates were filled in by its first pass; a shard has none.
        """
        if batch_id and shard is not None:
            whole = shard_request(self._base(batch_id), own, shard)
            return read_request(rendered(whole, run_id=run_id, batch_id=batch_id, shard=number_of(own, shard)))
        return read_request(own)
