"""Makes in the local AWS what the CDK stack makes in production, through boto3 and any number of times.

``local.stack`` and ``local.up`` call :func:`provision`; what it returns is also the environment of every process that
works with this AWS. ``python -m dagy_queue.local.provision URL`` does it from the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from dagy_queue.aws.event_rule import RULE_NAME, event_pattern
from dagy_queue.aws.sessions import new_session
from dagy_queue.errors import DagyQueueError
from dagy_queue.local.environment import container_environment, environ, exports
from dagy_queue.settings import FLAT_NAMES, Settings, load_settings

CLUSTER = "dagy"
ARTIFACT_BUCKET = "dagy-artifacts"
TRACES_BUCKET = "dagy-traces"
WORKER_IMAGE = "dagy-worker:local"
SUBNET = "subnet-0da6100a100a100a1"
SECURITY_GROUP = "sg-0da6100a100a100a1"
MAX_RECEIVES = 10
RETENTION_SECONDS = 4 * 86_400
DEAD_LETTER_RETENTION_SECONDS = 14 * 86_400

_RESULT_URL = "DAGY_QUEUE__REDIS__RESULT_URL"
"""Has no flat name, and a settings file may lead it to another Redis; empty is the same as the broker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """Names and ARNs of everything that was made."""

    endpoint_url: str
    redis_url: str
    region: str
    account: str
    cluster_arn: str
    queue_url: str
    queue_arn: str
    dead_letter_url: str
    dead_letter_arn: str
    rule_arn: str
    log_group: str
    tables: tuple[str, ...]
    artifact_bucket: str = ARTIFACT_BUCKET
    traces_bucket: str = TRACES_BUCKET

    def environment(self) -> dict[str, str]:
        """Return the variables which a producer, dispatcher or bridge needs."""
        return {
            **container_environment(self.endpoint_url, self.region),
            "DAGY_REDIS_URL": self.redis_url,
            _RESULT_URL: "",
            "DAGY_ECS_CLUSTER_ARN": self.cluster_arn,
            "DAGY_ECS_SUBNETS": SUBNET,
            "DAGY_ECS_SECURITY_GROUPS": SECURITY_GROUP,
            "DAGY_ECS_EXECUTION_ROLE_ARN": f"arn:aws:iam::{self.account}:role/dagy-worker-execution",
            "DAGY_ECS_TASK_ROLE_ARN": f"arn:aws:iam::{self.account}:role/dagy-worker-task",
            "DAGY_ECS_WORKER_IMAGE": WORKER_IMAGE,
            "DAGY_ECS_LOG_GROUP": self.log_group,
            "DAGY_ARTIFACT_BUCKET": self.artifact_bucket,
            "DAGY_TRACES_BUCKET": self.traces_bucket,
            "DAGY_EVENT_QUEUE_URL": self.queue_url,
        }

    def settings(self, **sections: Any) -> Settings:
        """Return the settings this environment gives; ``sections`` (nested dicts) are added to them."""
        given: dict[str, dict[str, Any]] = {"redis": {"result_url": ""}}
        for name, value in self.environment().items():
            if path := FLAT_NAMES.get(name):
                section, key = path.split(".")
                given.setdefault(section, {}).setdefault(key, value)
        for section, values in sections.items():
            given.setdefault(section, {}).update(values)
        return load_settings(**given)


def provision(endpoint_url: str, redis_url: str, *, region: str = "us-east-1", cluster: str = CLUSTER) -> Provisioned:
    """Make what is missing, and return all of it."""
    wanted = load_settings()
    # Named credentials do not keep botocore from looking for the caller's AWS_PROFILE.
    with environ(container_environment(endpoint_url, region)), ExitStack() as closing:

        def client(service: str) -> Any:
            made = _client(service, endpoint_url, region)
            closing.callback(made.close)
            return made

        cluster_arn = client("ecs").create_cluster(clusterName=cluster)["cluster"]["clusterArn"]
        queues = _queues(client("sqs"), wanted)
        rule_arn = _rule(client("events"), cluster_arn, queues)
        _allow_rule(client("sqs"), rule_arn, queues)
        _buckets(client("s3"), region)
        _log_group(client("logs"), wanted.ecs.log_group)
    found = Provisioned(
        endpoint_url=endpoint_url,
        redis_url=redis_url,
        region=region,
        account=cluster_arn.split(":")[4],
        cluster_arn=cluster_arn,
        rule_arn=rule_arn,
        log_group=wanted.ecs.log_group,
        tables=(),
        **queues,
    )
    return _with_tables(found)


def _client(service: str, endpoint_url: str, region: str) -> Any:
    from botocore.config import Config

    # Named credentials and no proxies: nothing of the caller's AWS configuration may matter here.
    session = new_session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)  # noqa: S106
    config = Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 5}, read_timeout=30)
    return session.client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]


def _queues(sqs: Any, wanted: Settings) -> dict[str, str]:
    name = wanted.bridge.queue_name
    dead_letter_url = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    dead_letter_arn = _queue_arn(sqs, dead_letter_url)
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": MAX_RECEIVES}
    sqs.set_queue_attributes(
        QueueUrl=dead_letter_url, Attributes={"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS)}
    )
    sqs.set_queue_attributes(
        QueueUrl=queue_url,
        Attributes={
            "MessageRetentionPeriod": str(RETENTION_SECONDS),
            "ReceiveMessageWaitTimeSeconds": str(wanted.bridge.wait_seconds),
            "RedrivePolicy": json.dumps(redrive),
            "VisibilityTimeout": str(wanted.bridge.visibility_timeout),
        },
    )
    return {
        "queue_url": queue_url,
        "queue_arn": _queue_arn(sqs, queue_url),
        "dead_letter_url": dead_letter_url,
        "dead_letter_arn": dead_letter_arn,
    }


def _queue_arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _rule(events: Any, cluster_arn: str, queues: Mapping[str, str]) -> str:
    made = events.put_rule(Name=RULE_NAME, EventPattern=json.dumps(event_pattern(cluster_arn)), State="ENABLED")
    dead_letters = {"Arn": queues["dead_letter_arn"]}
    target = {"Id": "bridge", "Arn": queues["queue_arn"], "DeadLetterConfig": dead_letters}
    events.put_targets(Rule=RULE_NAME, Targets=[target])
    return str(made["RuleArn"])


def _allow_rule(sqs: Any, rule_arn: str, queues: Mapping[str, str]) -> None:
    for kind in ("queue", "dead_letter"):
        statement = {
            "Sid": "TaskEvents",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queues[f"{kind}_arn"],
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=queues[f"{kind}_url"], Attributes={"Policy": policy})


def _buckets(s3: Any, region: str) -> None:
    # us-east-1 is S3's default and may not be named as a constraint.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in (ARTIFACT_BUCKET, TRACES_BUCKET):
        if name not in existing:
            s3.create_bucket(Bucket=name, **where)


def _log_group(logs: Any, name: str) -> None:
    found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if name not in {group["logGroupName"] for group in found}:
        logs.create_log_group(logGroupName=name)


def _with_tables(found: Provisioned) -> Provisioned:
    from dagy_queue.records.tables import create_tables

    with environ(found.environment()):
        tables = create_tables(found.settings())
    return replace(found, tables=tuple(tables))


def main() -> None:
    """Provision the local AWS at a URL, and print the environment of the processes that work with it."""
    parser = argparse.ArgumentParser(prog="python -m dagy_queue.local.provision", description=main.__doc__)
    parser.add_argument("url", help="the local AWS, such as http://127.0.0.1:4566")
    parser.add_argument("--redis-url", default="redis://127.0.0.1:6379/0", help="the Redis to name in the environment")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--cluster", default=CLUSTER, help="name of the ECS cluster")
    asked = parser.parse_args()
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = provision(asked.url, asked.redis_url, region=asked.region, cluster=asked.cluster)
    except (DagyQueueError, BotoCoreError, ClientError) as exc:
        sys.exit(f"provision: {exc}")
    sys.stdout.write(exports(found.environment()))


if __name__ == "__main__":
    main()
