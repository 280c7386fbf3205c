"""AWS: credentials, clock, cluster, roles, log group, buckets and tables, as the settings name them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.aws.refusals import NO_TABLE
from dagy_queue.dispatch.findings import cluster_findings, settings_findings
from dagy_queue.dispatch.health import cluster_and_region, template_problem
from dagy_queue.errors import AwsRefused
from dagy_queue.operate.doctor.checks import Check, error, looked, of_finding, ok, skipped, warning
from dagy_queue.operate.doctor.redis_checks import skew_check
from dagy_queue.records.models import MODELS
from dagy_queue.settings import Settings

_AWS_SKEW = 60.0
"""AWS's clock is told in whole seconds, after a journey."""
_ECS_TASKS = "ecs-tasks.amazonaws.com"
_MISSING = frozenset({"404", "NoSuchBucket", "NotFound"})
_FORBIDDEN = "403"
"""The answer to a HEAD has no body, so that its status is all there is."""
_OF_RUNS = frozenset({"runs_table", "task_runs_table"})
"""The settings that name the tables of the record, which may be off."""


@dataclass
class AwsDoctor:
    """Looks at AWS."""

    config: Settings
    aws: AwsClients
    is_local: bool
    """Whether AWS is an endpoint on this machine."""
    cluster_arn: str = field(default="", init=False)
    """Known once the cluster was found."""

    def identity(self) -> Iterator[Check]:
        """Look at the credentials, and at AWS's clock."""
        with mapped("sts:GetCallerIdentity"):
            answer = self.aws.client("sts", attempts=2).get_caller_identity()
        yield ok("credentials", f"{answer['Arn']}, region {self.config.aws.region}")
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date:
            ahead = parsedate_to_datetime(date).timestamp() - time.time()
            yield skew_check("clock of AWS", ahead, _AWS_SKEW)

    def cluster(self) -> Iterator[Check]:
        """Look at the cluster that launches use unless they name another."""
        cluster, region = cluster_and_region(self.config)
        with mapped("ecs:DescribeClusters"):
            answer = self.aws.in_region(region).ecs_control.describe_clusters(clusters=[cluster])
        found = list(cluster_findings(cluster, region, answer, self.config.ecs))
        yield from (of_finding("cluster", each) for each in found)
        if answer["clusters"]:
            about = answer["clusters"][0]
            self.cluster_arn = about["clusterArn"]
            if not found:
                running, pending = about.get("runningTasksCount", 0), about.get("pendingTasksCount", 0)
                yield ok("cluster", f"{self.cluster_arn}: {running} tasks running, {pending} pending")

    def settings(self) -> Iterator[Check]:
        """Look at the settings that launches need."""
        found = [of_finding("settings", each) for each in settings_findings(self.config, template_problem(self.config))]
        yield from found or [ok("settings", "have what launches need; `dagy-queue config --show-origin` prints them")]

    def roles(self) -> Iterator[Check]:
        """Look at the execution role and the task role."""
        ecs = self.config.ecs
        for name, arn in (("execution role", ecs.execution_role_arn), ("task role", ecs.task_role_arn)):
            if not arn:
                yield skipped(name, "none is set")
            elif self.is_local:
                yield skipped(name, "AWS is on this machine, which has no IAM")
            else:
                yield from looked(name, lambda name=name, arn=arn: self._role(name, arn))  # type: ignore[misc]

    def log_group(self) -> Iterator[Check]:
        """Look at the log group of the containers."""
        name = self.config.ecs.log_group
        with mapped("logs:DescribeLogGroups"):
            groups = self.aws.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        found = next((group for group in groups if group.get("logGroupName") == name), None)
        if found is None:
            yield error(
                "log group",
                f"{name} does not exist: tasks that write to it cannot start",
                f"aws logs create-log-group --log-group-name {name}, or correct DAGY_ECS_LOG_GROUP",
            )
            return
        days = found.get("retentionInDays")
        yield ok("log group", f"{name}, kept {f'{days} days' if days else 'for ever'}")

    def buckets(self) -> Iterator[Check]:
        """Look at the buckets of artifacts and of traces."""
        storage = self.config.storage
        for name, bucket, variable in (
            ("artifact bucket", storage.artifact_bucket, "DAGY_ARTIFACT_BUCKET"),
            ("traces bucket", storage.traces_bucket, "DAGY_TRACES_BUCKET"),
        ):
            if not bucket:
                yield skipped(name, "none is set")
            else:
                yield from looked(name, lambda n=name, b=bucket, v=variable: self._bucket(n, b, v))  # type: ignore[misc]

    def tables(self) -> Iterator[Check]:
        """Look at the tables of the registry and of the record, and at their indexes."""
        client = self.aws.client("dynamodb", attempts=2)
        for model in MODELS:
            table = getattr(self.config.records, model.table_setting)
            if model.table_setting in _OF_RUNS and not self.config.records.enabled:
                yield skipped("table", f"{table}: records of runs are off")
            else:
                yield from looked("table", lambda t=table, m=model: [self._table(client, t, m)])  # type: ignore[misc]

    def _role(self, name: str, arn: str) -> Iterator[Check]:
        with mapped("iam:GetRole"):
            role = self.aws.client("iam", attempts=2).get_role(RoleName=arn.rpartition("/")[2])["Role"]
        trust = role.get("AssumeRolePolicyDocument") or {}
        if _ECS_TASKS not in json.dumps(trust):
            yield error(name, f"{arn} does not trust {_ECS_TASKS}", f"let {_ECS_TASKS} assume it (sts:AssumeRole)")
        else:
            yield ok(name, arn)

    def _bucket(self, name: str, bucket: str, variable: str) -> Iterator[Check]:
        try:
            with mapped("s3:HeadBucket"):
                self.aws.s3.head_bucket(Bucket=bucket)
        except AwsRefused as exc:
            if exc.code == _FORBIDDEN:
                what = f"{bucket} is another account's, or this process may not look at it"
                yield error(name, what, f"allow s3:ListBucket, or correct {variable}")
            elif exc.code in _MISSING:
                yield error(name, f"{bucket} does not exist", f"create it, or correct {variable}")
            else:
                raise
        else:
            yield ok(name, bucket)

    def _table(self, client: Any, table: str, model: Any) -> Check:
        try:
            with mapped("dynamodb:DescribeTable"):
                found = client.describe_table(TableName=table)["Table"]
        except AwsRefused as exc:
            if exc.code != NO_TABLE:
                raise
            return error("table", f"{table} does not exist", "create it: dagy-queue tables create")
        return table_check(table, found, wanted_key(model), wanted_indexes(model))


def wanted_key(model: Any) -> str:
    """Return the partition key of a model's table."""
    return str(model._hash_key_attribute().attr_name)


def wanted_indexes(model: Any) -> list[str]:
    """Return the names of the indexes that a model's queries use."""
    return sorted(index.Meta.index_name for index in model._indexes.values())


def table_check(table: str, found: Mapping[str, Any], key: str, indexes: list[str]) -> Check:
    """Return how a table is, by what DescribeTable says of it."""
    keys = [each["AttributeName"] for each in found.get("KeySchema", []) if each["KeyType"] == "HASH"]
    if keys != [key]:
        return error("table", f"{table} has the partition key {', '.join(keys)}, not {key}", "name another table")
    status = {i["IndexName"]: i.get("IndexStatus", "ACTIVE") for i in found.get("GlobalSecondaryIndexes") or ()}
    if missing := [name for name in indexes if name not in status]:
        return error("table", f"{table} has no index {', '.join(missing)}", "add it: dagy-queue tables create")
    unready = [name for name in indexes if status[name] != "ACTIVE"]
    if found.get("TableStatus") != "ACTIVE" or unready:
        what = f"{table} is {found.get('TableStatus')}{f', its index {unready[0]} not ready' if unready else ''}"
        return warning("table", what, "wait until it is ACTIVE")
    return ok("table", f"{table}{f', with {len(indexes)} indexes' if indexes else ''}")
