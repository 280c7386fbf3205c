"""Events a second through one bridge process, and the SQS calls each costs: a full queue, real SQS calls, real Redis.

The runs are in the ledger and their events in the queue before the bridge starts. The baseline receives and deletes in
batches of ten like the bridge, with as many threads, and does nothing with what it gets: what SQS alone allows here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId
from dagy_queue.ledger import AdmissionLedger, Continuation, RedisConnection, RunLedger
from dagy_queue.ledger.runs import Place
from dagy_queue.local.environment import environ
from dagy_queue.local.stack import LocalStack
from scripts.benchmarks.figures import Figure, Stopwatch, measured

RUNS = 2000
STATUSES = ("PROVISIONING", "PENDING", "RUNNING", "DEACTIVATING", "DEPROVISIONING", "STOPPED")
EVENTS = RUNS * len(STATUSES)
CONSUMERS = 2
_CALLS = ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
_LEASED_AT_ONCE = 100


def run() -> Iterator[Figure]:
    """Measure."""
    with LocalStack() as stack, environ(stack.environment):
        sqs = AwsClients(stack.settings().aws).sqs
        _fill(sqs, stack, [f"nobody-{n}" for n in range(RUNS)])
        with measured() as bare:
            _drain(sqs, stack)
        run_ids = [f"run-{n}" for n in range(RUNS)]
        _launch(stack, run_ids)
        _fill(sqs, stack, run_ids)
        bridge, calls = _bridge(stack)
        assert all(RunLedger(_redis(stack)).get(run_id).completion for run_id in run_ids)
    yield Figure("receive and delete, nothing else (baseline)", f"{EVENTS / bare.seconds:,.0f} events/s")
    cpu = bridge.cpu["bridge"] / EVENTS * 1000
    measured_rate = f"{EVENTS / bridge.seconds:,.0f} events/s, {cpu:.2f} ms of CPU each"
    yield Figure(
        f"one bridge, {CONSUMERS} consumers, {EVENTS:,} events of {RUNS:,} runs", measured_rate, "600 events/s"
    )
    yield Figure("SQS calls of the bridge", f"{calls / EVENTS:.3f} an event", "0.25 an event")


def _bridge(stack: LocalStack) -> tuple[Stopwatch, int]:
    """Start a bridge and measure from its first receive until the queue is empty."""
    deleted, calls = _counts(stack)["deleted"], _calls(stack)
    received = _counts(stack)["received"]
    environment = {"DAGY_QUEUE__BRIDGE__CONSUMERS": str(CONSUMERS), "DAGY_QUEUE__RECORDS__ENABLED": "false"}
    child = stack.spawn("bridge", "--log-level=warning", environment=environment)
    while _counts(stack)["received"] == received:
        time.sleep(0.002)
    with measured(bridge=child.pid) as watch:
        while _counts(stack)["deleted"] < deleted + EVENTS:
            time.sleep(0.05)
    return watch, _calls(stack) - calls


def _redis(stack: LocalStack) -> RedisConnection:
    return RedisConnection(stack.settings().redis)


def _counts(stack: LocalStack) -> Any:
    return stack.sqs_stats()["queues"][stack.provisioned.queue_url.rsplit("/", 1)[-1]]


def _calls(stack: LocalStack) -> int:
    calls = stack.sqs_stats()["calls"]
    return sum(calls.get(name, 0) for name in _CALLS)


def _launch(stack: LocalStack, run_ids: list[str]) -> None:
    """Bring runs to where ECS has taken their tasks."""
    connection = _redis(stack)
    runs, admission = RunLedger(connection), AdmissionLedger(connection)
    for run_id in run_ids:
        runs.park(
            run_id,
            request={"kind": "flow", "org_id": "bench", "flow_name": "f"},
            continuation=Continuation("resumed", '{"headers": {"dagy_attempt": "@dagy:attempt@"}}'),
            place=Place(pool="us-east-1/dagy|FARGATE", org="bench"),
            expires=None,
            about={"org": "bench", "flow": "f"},
        )
    for _ in range(0, len(run_ids), _LEASED_AT_ONCE):
        for grant in admission.lease(_LEASED_AT_ONCE, 600).grants:
            admission.launched(grant.attempt_id, _arn(grant.attempt_id.run_id))


def _fill(sqs: Any, stack: LocalStack, run_ids: list[str]) -> None:
    """Put every event of the runs into the queue: the first of all runs, then the second of all."""
    bodies = [_event(run_id, n + 1, status) for n, status in enumerate(STATUSES) for run_id in run_ids]
    for first in range(0, len(bodies), 10):
        entries = [{"Id": str(i), "MessageBody": text} for i, text in enumerate(bodies[first : first + 10])]
        sqs.send_message_batch(QueueUrl=stack.provisioned.queue_url, Entries=entries)


def _drain(sqs: Any, stack: LocalStack) -> None:
    url = stack.provisioned.queue_url

    def receive_and_delete() -> None:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    threads = [threading.Thread(target=receive_and_delete) for _ in range(CONSUMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _arn(run_id: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:task/dagy/{run_id}"


def _event(run_id: str, version: int, status: str) -> str:
    """Return an event with all that ECS puts into one, so that reading it costs what it does in production."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    arn = _arn(run_id)
    container = {
        "containerArn": arn.replace(":task/", ":container/"),
        "lastStatus": status,
        "name": "worker",
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/dagy-worker:v1",
        "runtimeId": f"{run_id}-0123456789",
        "taskArn": arn,
        "networkInterfaces": [{"attachmentId": "0123456789abcdef", "privateIpv4Address": "10.0.0.7"}],
        "cpu": "256",
        "memory": "512",
        **({"exitCode": 0} if status == "STOPPED" else {}),
    }
    variables = [{"name": f"DAGY_VARIABLE_{n}", "value": "x" * 40} for n in range(12)]
    detail = {
        "attachments": [{"id": "1", "type": "eni", "status": "ATTACHED", "details": [{"name": "macAddress"}] * 4}],
        "availabilityZone": "us-east-1a",
        "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/dagy",
        "containers": [container],
        "createdAt": now,
        "startedAt": now,
        "updatedAt": now,
        "desiredStatus": "STOPPED" if version > 3 else "RUNNING",
        "lastStatus": status,
        "launchType": "FARGATE",
        "overrides": {"containerOverrides": [{"name": "worker", "environment": variables}]},
        "startedBy": AttemptId(run_id, 1).started_by,
        "taskArn": arn,
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker:1",
        "version": version,
        **({"stopCode": "EssentialContainerExited", "stoppedAt": now} if status == "STOPPED" else {}),
    }
    envelope = {"version": "0", "id": run_id, "detail-type": "ECS Task State Change", "source": "aws.ecs", "time": now}
    return json.dumps(envelope | {"resources": [arn], "detail": detail})
