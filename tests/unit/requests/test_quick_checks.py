from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest, parse_request, quick_checks
from dagy_queue.requests.deltas import spec_of
from dagy_queue.requests.models import MAX_OWN_OVERRIDES
from dagy_queue.requests.quick_checks import QuickCheck
from tests.unit.strategies import unhurried

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:pw"
PLAIN = ContainerRequest(org_id="acme", image="job:1")
RICH = ContainerRequest(
    org_id="acme",
    image="job:1",
    command=("run", "{{ run.shard }}"),
    extra_env_vars={"REGION": "eu"},
    secrets_env={"PW": SECRET},
    container_overrides=({"name": "side", "environment": {"A": "b"}},),
    run_task_kwargs={"overrides": {"containerOverrides": [{"name": "side", "command": ["x"]}]}},
    cpu=1024,
    memory=2048,
)
NEARLY_FULL = ContainerRequest(org_id="acme", image="job:1", extra_env_vars={"LONG": "x" * (MAX_OWN_OVERRIDES - 120)})
WRONG = ContainerRequest(org_id="acme", image="job:1", command=("{{ run.shart }}",))
"""Its template is only looked at with its shards."""


class Word(enum.StrEnum):
    RUN = "run"


def outcome(request: ContainerRequest, rows: list[Any]) -> tuple[Any, ...]:
    """Return what becomes of shards: their chunks, or the problems."""
    try:
        return spec_of(request, enumerate(rows), "shards[{}]".format).chunks
    except RequestInvalid as exc:
        return tuple(map(str, exc.problems))


def outcome_of_requests(request: ContainerRequest, rows: list[Any]) -> tuple[Any, ...]:
    """The same where every shard is made a request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickCheck, "passes", lambda *_: False)
        return outcome(request, rows)


def passes(request: ContainerRequest, rows: list[Any]) -> bool:
    check = QuickCheck(type(request), request.model_dump(exclude_unset=True))
    return check.passes(rows, json.dumps(rows, ensure_ascii=False))


words = st.text(max_size=8) | st.sampled_from(
    [
        *("a", "é", '"', "\\", "\\u0000", "\0", "\ud800", "\n", "{{ run.shard }}", "{{ run.shart }}", "{{ mustache }}"),
        *(Word.RUN, 1, None, b"a", "x" * 3000, '"' * 3000, "\x01" * 1100),
    ]
)
names = st.sampled_from(
    ["MONTH", "REGION", "_a1", "PW", "DAGY_RUN_ID", "TASK_NUM", "1A", "", "A B", "é", Word.RUN, 1, None]
)
commands = (
    st.lists(words, max_size=4)
    | st.lists(words, max_size=3).map(tuple)
    | st.sampled_from([None, "run", {"run"}, {"a": "b"}, [["a"]], 5])
)
environments = st.dictionaries(names, words, max_size=3) | st.sampled_from(
    [None, "A=b", [{"name": "MONTH", "value": "1"}], [{"name": "DAGY_X", "value": "1"}], {"A": {"b": "c"}}, 5]
)
others = st.sampled_from(
    [
        ("cpu", 256),
        ("cpu", 1.0),
        ("cpu", True),
        ("memory", 512),
        ("memory", 3),
        ("memory", None),
        ("workload_profile", "large"),
        ("workload_profile", "tiny"),
        ("image", "job:2"),
        ("image", "no image"),
        ("task_definition", "family:3"),
        ("max_retries", 1),
        ("max_retries", True),
        ("max_retries", float("nan")),
        ("cluster", "other"),
        ("comand", ["a"]),
        ("kind", "flow"),
        ("secrets_env", {"MONTH": SECRET}),
        ("secrets_env", "MONTH"),
        ("tags", {"a": "b"}),
        ("tags", {1: "b"}),
        ("container_overrides", [{"name": "side", "environment": {"B": "y" * 3000}}]),
        ("run_task_kwargs", {"overrides": {"cpu": "256", "memory": "512"}}),
        ("metadata", {"v": {1}}),
        (1, "one"),
    ]
)


@st.composite
def rows(draw: st.DrawFn) -> Any:
    row: dict[Any, Any] = {}
    if draw(st.booleans()):
        row["command"] = draw(commands)
    if draw(st.booleans()):
        row["extra_env_vars"] = draw(environments)
    if draw(st.integers(0, 3)) == 0:
        row |= dict(draw(st.lists(others, max_size=2)))
    return row


@unhurried
@given(st.sampled_from([PLAIN, RICH, NEARLY_FULL, WRONG]), st.lists(rows(), max_size=4))
def test_what_becomes_of_shards_is_what_becomes_of_their_requests(
    request_: ContainerRequest, given_: list[Any]
) -> None:
    assert outcome(request_, given_) == outcome_of_requests(request_, given_)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"command": []},
        {"command": ["run", "é", 'a "b" \\ c', "{{ run.shard }}", "{{ mustache }}"]},
        {"command": ("run", "x" * 5000)},
        {"extra_env_vars": {"MONTH": "1", "REGION": "us"}},
        {"command": ["run"], "extra_env_vars": {}, "cpu": 512, "memory": 1024},
        {"workload_profile": "large", "image": "job:2", "max_retries": 3, "task_role_arn": None},
    ],
)
@pytest.mark.parametrize("request_", [PLAIN, RICH])
def test_what_shards_usually_differ_in_passes(request_: ContainerRequest, row: dict[str, Any]) -> None:
    assert passes(request_, [row, {"command": ["other"]}])


@pytest.mark.parametrize(
    "row",
    [
        {"command": "run"},
        {"command": ["a\0"]},
        {"command": ["{{ run.shart }}"]},
        {"command": [Word.RUN]},
        {"command": ["x" * MAX_OWN_OVERRIDES]},
        {"command": ['"' * (MAX_OWN_OVERRIDES // 2)]},
        {"command": ["a"] * (MAX_OWN_OVERRIDES // 4)},
        {"extra_env_vars": {"PW": "plain"}},
        {"extra_env_vars": {"DAGY_RUN_ID": "mine"}},
        {"extra_env_vars": {"A B": "c"}},
        {"extra_env_vars": {"A": 1}},
        {"extra_env_vars": {f"A{n}": "" for n in range(MAX_OWN_OVERRIDES // 25)}},
        {"cpu": 3},
        {"cluster": "other"},
        {"comand": 1},
        {"tags": {"a": "b"}},
    ],
)
def test_what_may_be_wrong_does_not_pass(row: dict[str, Any]) -> None:
    assert not passes(RICH, [{"command": ["right"]}, row])


def test_shards_of_a_request_that_is_wrong_itself_do_not_pass() -> None:
    assert not passes(WRONG, [{"command": ["right"]}])


@pytest.mark.parametrize("room", range(60, 140))
def test_at_the_limit_of_the_overrides_every_character_counts(room: int) -> None:
    request = ContainerRequest(org_id="acme", image="job:1", extra_env_vars={"LONG": "x" * (MAX_OWN_OVERRIDES - room)})
    given_ = [
        {"command": ["run", "it"]},
        {"extra_env_vars": {"A": "b"}},
        {"command": ['"'], "extra_env_vars": {"A": ""}},
    ]
    for row in given_:
        assert outcome(request, [row]) == outcome_of_requests(request, [row])


def test_a_thousand_shards_make_a_request_for_each_combination_of_other_fields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def counting(values: Any, model: Any) -> Any:
        made.append(values)
        return parse_request(values, model)

    monkeypatch.setattr(quick_checks, "parse_request", counting)
    sizes = [{}, {"cpu": 512, "memory": 1024}, {"workload_profile": "large"}]
    given_ = [{"command": ["run", str(n)], "extra_env_vars": {"N": str(n)}, **sizes[n % 3]} for n in range(1000)]
    assert spec_of(PLAIN, enumerate(given_), str).total == 1000
    assert len(made) == 1 + len(sizes)


def test_what_is_remembered_of_other_fields_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_checks, "_MAX_REMEMBERED", 10)
    check = QuickCheck(ContainerRequest, PLAIN.model_dump(exclude_unset=True))
    for n in range(25):
        row = {"image": f"job:{n}"}
        assert check.passes([row], json.dumps([row]))
    assert len(check._right) <= 10
