"""EventBridge: rules and targets as moto keeps them, matched with moto's own event patterns, delivered to the lean SQS.

The local ECS puts its events here (:meth:`EventRouter.put_event`), the gateway PutEvents calls."""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs import LeanSqs

_log = logging.getLogger(__name__)


class EventRouter:
    """The event buses of one account and region. ``counts`` tells what became of events."""

    def __init__(self, sqs: LeanSqs, region: str, account: str) -> None:
        self._sqs = sqs
        self._region = region
        self._account = account
        self.counts: Counter[str] = Counter()

    async def put_event(self, event: Mapping[str, Any]) -> None:
        """Deliver one whole envelope to the targets of every rule of the default bus that matches it."""
        self.route(event, "default")

    def put_events(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer PutEvents."""
        entries = request.get("Entries") or []
        if not 1 <= len(entries) <= 10:
            raise AwsError("ValidationException", "Entries must have 1 to 10 items.")
        results = [self._put(entry) for entry in entries]
        return {
            "FailedEntryCount": sum("ErrorCode" in result for result in results),
            "Entries": results,
        }

    def route(self, event: Mapping[str, Any], bus: str) -> None:
        """Match an envelope against the rules of a bus."""
        self.counts["put"] += 1
        body = ""
        for rule in self._rules(bus):
            if rule.state != "ENABLED" or rule.scheduled_expression:
                continue
            if not rule.event_pattern.matches_event(event):
                continue
            self.counts["matched"] += 1
            body = body or json.dumps(event, separators=(",", ":"), default=str)
            for target in list(rule.targets):
                self._deliver(rule.arn, target, body)

    def _put(self, entry: Mapping[str, Any]) -> dict[str, str]:
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                return _refused(
                    "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
                )
        if str(entry["Source"]).startswith("aws."):
            return _refused("NotAuthorizedForSourceException", "Not authorized for the source.")
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            return _refused("MalformedDetail", "Detail is malformed.")
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": self._account,
            "time": _timestamp(entry.get("Time")),
            "region": self._region,
            "resources": entry.get("Resources") or [],
            "detail": detail,
        }
        self.route(event, str(entry.get("EventBusName") or "default").rsplit("/", 1)[-1])
        return {"EventId": str(event["id"])}

    def _rules(self, bus: str) -> Iterator[Any]:
        from moto.events.models import events_backends

        found = events_backends[self._account][self._region].event_buses.get(bus)
        return iter(list(found.rules.values()) if found else [])

    def _deliver(self, rule_arn: str, target: Mapping[str, Any], body: str) -> None:
        arn = str(target["Arn"])
        problem = self._send(rule_arn, arn, str(target.get("Input") or body), {})
        if problem is None:
            self.counts["delivered"] += 1
            return
        code, message = problem
        dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn", "")
        attributes = {
            "RULE_ARN": rule_arn,
            "TARGET_ARN": arn,
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "RETRY_ATTEMPTS": "0",
        }
        buried = dead_letters and self._send(rule_arn, dead_letters, body, attributes) is None
        self.counts["dead_lettered" if buried else "undelivered"] += 1
        _log.warning("event not delivered to %s (%s: %s)%s", arn, code, message, "" if buried else ", dropped")

    def _send(self, rule_arn: str, arn: str, body: str, attributes: Mapping[str, str]) -> tuple[str, str] | None:
        """Send to a queue; what went wrong is returned, as EventBridge notes it on dead letters."""
        if not arn.startswith("arn:aws:sqs:"):
            return "UNSUPPORTED_TARGET", "the local EventBridge delivers to SQS queues only"
        try:
            queue = self._sqs.find(arn)
        except AwsError as exc:
            return "RESOURCE_NOT_FOUND", exc.message
        if not allows_rule(queue.given.get("Policy", ""), arn, rule_arn):
            return "NO_PERMISSIONS", f"the queue policy does not let events.amazonaws.com send for {rule_arn}"
        self._sqs.deliver(arn, body, attributes)
        return None


@lru_cache(maxsize=64)
def allows_rule(policy: str, queue_arn: str, rule_arn: str) -> bool:
    """Tell whether a queue policy lets EventBridge send to the queue on behalf of a rule."""
    if not policy:
        return False
    return any(
        statement.get("Effect") == "Allow"
        and _has(statement.get("Principal"), "events.amazonaws.com")
        and _has([str(one).lower() for one in _as_list(statement.get("Action"))], "sqs:sendmessage", "sqs:*")
        and _has(statement.get("Resource", "*"), queue_arn)
        and _condition_holds(statement.get("Condition") or {}, rule_arn)
        for statement in _as_list(json.loads(policy).get("Statement"))
    )


def _condition_holds(condition: Mapping[str, Any], rule_arn: str) -> bool:
    for operator, keys in condition.items():
        if operator not in {"ArnEquals", "ArnLike", "StringEquals"}:
            return False
        for key, value in keys.items():
            if key.lower() != "aws:sourcearn" or not _has(value, rule_arn):
                return False
    return True


def _has(value: Any, *wanted: str) -> bool:
    found = value.get("Service", value.get("AWS")) if isinstance(value, dict) else value
    return any(one == "*" or one in wanted for one in _as_list(found))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _refused(code: str, message: str) -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": message}


def _timestamp(given: float | str | None) -> str:
    moment = datetime.fromtimestamp(given, UTC) if isinstance(given, (int, float)) else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
