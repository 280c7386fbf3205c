"""What is wrong with the way of events, told from what AWS says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dagy_queue.aws.event_rule import event_pattern
from dagy_queue.operate.doctor.checks import Mark
from dagy_queue.operate.doctor.event_checks import (
    Rule,
    dead_letter_check,
    lets_through,
    policy_checks,
    rule_checks,
)

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/dagy"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:dagy-task-events"
RULE = Rule(
    name="dagy",
    arn="arn:aws:events:us-east-1:123456789012:rule/dagy",
    is_enabled=True,
    pattern=event_pattern(CLUSTER),
    has_role=False,
    has_dead_letters=True,
)


def marks(checks: Any) -> dict[str, Mark]:
    return {check.name: check.mark for check in checks}


def test_the_rule_that_we_make_is_right() -> None:
    assert marks(rule_checks([RULE], CLUSTER, QUEUE)) == {"event rule": Mark.OK, "event target": Mark.OK}


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        (event_pattern(CLUSTER), True),
        (event_pattern("arn:aws:ecs:us-east-1:123456789012:cluster/other"), False),
        ({"source": ["aws.ecs"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": ["aws.ecs"], "detail-type": ["ECS Service Action"]}, False),
        ({"detail": {"clusterArn": [CLUSTER], "lastStatus": ["RUNNING"]}}, False),
        ({"detail": {"clusterArn": [CLUSTER], "lastStatus": ["STOPPED", "RUNNING"]}}, True),
        ({"detail": {"startedBy": [{"prefix": "other/"}]}}, False),
        ({"detail": {"startedBy": [{"prefix": "dagy"}]}}, True),
    ],
)
def test_a_pattern_lets_our_events_through_or_not(pattern: dict[str, Any], passes: bool) -> None:
    assert lets_through(pattern, CLUSTER) is passes


def test_without_a_rule_nothing_is_noticed_and_its_pattern_is_told() -> None:
    (check,) = rule_checks([], CLUSTER, QUEUE)
    assert check.mark is Mark.ERROR
    assert '"prefix": "dagy/"' in check.resolution
    assert CLUSTER in check.resolution


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"pattern": {"source": ["aws.ec2"]}}])
def test_a_rule_that_lets_nothing_through_is_an_error(change: dict[str, Any]) -> None:
    (check,) = rule_checks([replace(RULE, **change)], CLUSTER, QUEUE)
    assert check.mark is Mark.ERROR
    assert "dagy" in check.what


def test_of_several_rules_one_that_works_is_enough() -> None:
    other = replace(RULE, name="other", is_enabled=False)
    assert marks(rule_checks([other, RULE], CLUSTER, QUEUE))["event rule"] is Mark.OK


def test_a_rule_for_all_tasks_and_a_target_without_dead_letters_are_warned_of() -> None:
    wide = replace(RULE, pattern={"source": ["aws.ecs"]}, has_dead_letters=False)
    found = list(rule_checks([wide], CLUSTER, QUEUE))
    assert marks(found) == {"event rule": Mark.WARNING, "event target": Mark.WARNING}
    assert all(check.resolution for check in found)


def statement(**change: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE.arn}},
    }
    return {**usual, **change}


@pytest.mark.parametrize(
    ("statements", "mark"),
    [
        ([statement()], Mark.OK),
        (statement(), Mark.OK),
        ([statement(Action=["SQS:*"], Condition={"ArnLike": {"AWS:SourceArn": ["x", RULE.arn]}})], Mark.OK),
        ([statement(Principal="*")], Mark.OK),
        ([statement(Condition={})], Mark.WARNING),
        ([statement(Condition={"ArnEquals": {"aws:SourceArn": "arn:other"}})], Mark.ERROR),
        ([statement(Effect="Deny")], Mark.ERROR),
        ([statement(Action="sqs:ReceiveMessage")], Mark.ERROR),
        ([statement(Principal={"Service": "sns.amazonaws.com"})], Mark.ERROR),
        ([], Mark.ERROR),
    ],
)
def test_the_queue_must_let_this_rule_send_and_no_other(statements: Any, mark: Mark) -> None:
    (check,) = policy_checks({"Statement": statements}, [RULE])
    assert check.mark is mark
    assert mark is Mark.OK or RULE.arn in check.resolution


def test_a_target_with_a_role_needs_no_policy() -> None:
    (check,) = policy_checks({}, [replace(RULE, has_role=True)])
    assert check.mark is Mark.OK


def test_without_a_rule_its_policy_is_not_judged() -> None:
    assert list(policy_checks({}, [replace(RULE, is_enabled=False)])) == []


@pytest.mark.parametrize(
    ("count", "redrive_after", "mark"), [(0, 10, Mark.OK), (3, 10, Mark.WARNING), (0, 5, Mark.WARNING), (0, 0, Mark.OK)]
)
def test_dead_letters_are_warned_of_and_a_redrive_that_comes_too_early(
    count: int, redrive_after: int, mark: Mark
) -> None:
    check = dead_letter_check("url", count, redrive_after, 5)
    assert check.mark is mark
    assert not count or "dagy-queue dlq list" in check.resolution
