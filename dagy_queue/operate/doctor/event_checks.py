"""The way of events: rule, target, queue policy, queue and dead-letter queue. Looking is apart from judging."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.aws.event_rule import event_pattern
from dagy_queue.bridge.dead_letters import find_dead_letters, find_queue_url
from dagy_queue.ids import STARTED_BY_PREFIX
from dagy_queue.operate.doctor.checks import Check, error, ok, warning
from dagy_queue.operate.text import plural
from dagy_queue.settings import BridgeSettings

_EVENTS = "events.amazonaws.com"
_DOC = "docs/bridge.md"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that delivers to the event queue."""

    name: str
    arn: str
    is_enabled: bool
    pattern: Mapping[str, Any]
    has_role: bool
    """Whether its target sends with a role of its own."""
    has_dead_letters: bool


class EventDoctor:
    """Looks at the way of events."""

    def __init__(self, config: BridgeSettings, aws: AwsClients, cluster_arn: str) -> None:
        self._config = config
        self._aws = aws
        self._cluster_arn = cluster_arn

    def queue(self) -> Iterator[Check]:
        """Look at the queue, the rules that deliver to it, and whether they may."""
        url, attributes = self._queue()
        arn = attributes["QueueArn"]
        waiting = int(attributes.get("ApproximateNumberOfMessages", 0))
        yield ok("event queue", f"{url}: {plural(waiting, 'message')} waiting")
        rules = list(self._rules(arn))
        yield from rule_checks(rules, self._cluster_arn, arn)
        yield from policy_checks(json.loads(attributes.get("Policy") or "{}"), rules)

    def dead_letters(self) -> Iterator[Check]:
        """Look at the dead-letter queue."""
        url, _ = self._queue()
        found = find_dead_letters(self._aws.sqs, url, self._config)
        if found is None:
            yield warning(
                "dead letters",
                f"the queue {url} has none: what cannot be applied stays in it",
                f"give it a redrive policy: {_DOC}",
            )
            return
        with mapped("sqs:GetQueueAttributes"):
            name: Any = "ApproximateNumberOfMessages"
            answer = self._aws.sqs.get_queue_attributes(QueueUrl=found.url, AttributeNames=[name])
        count = int(answer["Attributes"].get(name, 0))
        yield dead_letter_check(found.url, count, found.max_receives, self._config.max_receives)

    def _queue(self) -> tuple[str, Mapping[str, str]]:
        url = find_queue_url(self._aws.sqs, self._config)
        with mapped("sqs:GetQueueAttributes"):
            answer = self._aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: Any = answer["Attributes"]
        return url, attributes

    def _rules(self, queue_arn: str) -> Iterator[Rule]:
        events = self._aws.client("events", attempts=2)
        with mapped("events:ListRuleNamesByTarget"):
            names = events.list_rule_names_by_target(TargetArn=queue_arn)["RuleNames"]
        for name in names:
            with mapped("events:DescribeRule"):
                rule = events.describe_rule(Name=name)
            with mapped("events:ListTargetsByRule"):
                targets = events.list_targets_by_rule(Rule=name)["Targets"]
            target: Any = next((each for each in targets if each["Arn"] == queue_arn), {})
            yield Rule(
                name=name,
                arn=rule["Arn"],
                is_enabled=rule.get("State", "ENABLED").startswith("ENABLED"),
                pattern=json.loads(rule.get("EventPattern") or "{}"),
                has_role=bool(target.get("RoleArn")),
                has_dead_letters=bool(target.get("DeadLetterConfig")),
            )


def rule_checks(rules: Sequence[Rule], cluster_arn: str, queue_arn: str) -> Iterator[Check]:
    """Judge the rules that deliver to the queue: one of them must let the events of the cluster's tasks through."""
    if not rules:
        pattern = json.dumps(event_pattern(cluster_arn or "CLUSTER_ARN"))
        yield error(
            "event rule",
            f"no EventBridge rule delivers to {queue_arn}: ended containers are not noticed",
            f"make one with this queue as its target and the pattern {pattern}",
        )
        return
    good = [rule for rule in rules if rule.is_enabled and lets_through(rule.pattern, cluster_arn)]
    if not good:
        named = ", ".join(f"{rule.name}{'' if rule.is_enabled else ' (disabled)'}" for rule in rules)
        wanted = json.dumps(event_pattern(cluster_arn or "CLUSTER_ARN"))
        yield error(
            "event rule",
            f"{named}: lets no events of this cluster's tasks through",
            f"enable it, and give it the pattern {wanted}",
        )
        return
    rule = good[0]
    if "startedBy" not in (rule.pattern.get("detail") or {}):
        yield warning(
            "event rule",
            f"{rule.name} lets the events of all tasks in the cluster through, also of services",
            f'filter by detail.startedBy: [{{"prefix": "{STARTED_BY_PREFIX}"}}]',
        )
    else:
        yield ok("event rule", f"{rule.name} is enabled, and lets the events of this cluster's runs through")
    if rule.has_dead_letters:
        yield ok("event target", "has a dead-letter queue for what cannot be delivered")
    else:
        what = f"the target of {rule.name} has no dead-letter queue: an event that cannot be delivered is gone"
        yield warning("event target", what, "give the target a DeadLetterConfig; the reconciler finds what is missed")


def lets_through(pattern: Mapping[str, Any], cluster_arn: str) -> bool:
    """Tell whether a rule's pattern lets the state changes of our tasks in a cluster through."""
    detail = pattern.get("detail") or {}
    clusters = detail.get("clusterArn")
    return (
        _accepts(pattern.get("source"), "aws.ecs")
        and _accepts(pattern.get("detail-type"), "ECS Task State Change")
        and (not cluster_arn or _accepts(clusters, cluster_arn))
        and _accepts(detail.get("startedBy"), f"{STARTED_BY_PREFIX}run/1")
        and _accepts(detail.get("lastStatus"), "STOPPED")
    )


def policy_checks(policy: Mapping[str, Any], rules: Sequence[Rule]) -> Iterator[Check]:
    """Judge whether the queue lets EventBridge send, and nobody else's EventBridge."""
    rule = next((each for each in rules if each.is_enabled), None)
    if rule is None:
        return
    if rule.has_role:
        yield ok("queue policy", f"{rule.name} sends with a role of its own")
        return
    allowing = [statement for statement in _statements(policy) if _allows_events(statement)]
    sources = [_source_arns(statement) for statement in allowing]
    wanted = f'sqs:SendMessage for {_EVENTS} where aws:SourceArn is "{rule.arn}"'
    if any(rule.arn in source for source in sources):
        yield ok("queue policy", f"lets {rule.name} send, and no other rule")
    elif any(not source for source in sources):
        what = f"lets every rule of any account send to the queue, through {_EVENTS}"
        yield warning("queue policy", what, f"allow only {wanted}")
    else:
        what = f"does not let {rule.name} send: its events go to the target's dead-letter queue, or nowhere"
        yield error("queue policy", what, f"allow {wanted}")


def dead_letter_check(url: str, count: int, redrive_after: int, own_tries: int) -> Check:
    """Judge the dead-letter queue. SQS moves a message there without a reason, so the bridge should come first."""
    if count:
        what = f"{url} has {plural(count, 'message')}"
        return warning("dead letters", what, "see what they are: dagy-queue dlq list; then redrive or purge them")
    if redrive_after and redrive_after <= own_tries:
        what = (
            f"SQS moves messages there after {redrive_after} receives, before the bridge says why (after {own_tries})"
        )
        return warning("dead letters", what, "raise the redrive policy's maxReceiveCount above bridge.max_receives")
    return ok("dead letters", f"{url} is empty")


def _accepts(rule: Any, value: str) -> bool:
    """Tell whether a field of a pattern accepts a value; a field that is not there accepts all."""
    if rule is None:
        return True
    return any(
        each == value or (isinstance(each, Mapping) and "prefix" in each and value.startswith(str(each["prefix"])))
        for each in rule
    )


def _statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = policy.get("Statement") or []
    return [found] if isinstance(found, Mapping) else list(found)


def _allows_events(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    services = _listed(principal.get("Service")) if isinstance(principal, Mapping) else _listed(principal)
    actions = {str(action).lower() for action in _listed(statement.get("Action"))}
    is_for_events = _EVENTS in services or "*" in services
    return statement.get("Effect") == "Allow" and is_for_events and bool(actions & {"sqs:sendmessage", "sqs:*", "*"})


def _source_arns(statement: Mapping[str, Any]) -> list[str]:
    conditions = (statement.get("Condition") or {}).values()
    given = [value for each in conditions for name, value in each.items() if name.lower() == "aws:sourcearn"]
    return [str(arn) for value in given for arn in _listed(value)]


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]
