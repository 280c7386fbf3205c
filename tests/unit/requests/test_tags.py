from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import LaunchRequest, parse_request
from dagy_queue.requests.tags import MAX_TAGS, OUR_TAGS, tag_value, tags_problem
from tests.unit.strategies import tag_keys, tag_values, tags, text, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}


@unhurried
@given(tags)
def test_what_ecs_takes_is_accepted(own: dict[str, str]) -> None:
    assert LaunchRequest(**FLOW, tags=own).tags == own


def test_ours_and_a_callers_fill_what_ecs_takes() -> None:
    most = MAX_TAGS - len(OUR_TAGS)
    own = {f"t{number}": "" for number in range(most)}
    assert tags_problem(own) == ""
    assert tags_problem(own | {"more": ""}) == f"{most + 1} tags given, 42 allowed: ECS takes 50, and 8 are ours"


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("aws:x", "", "'aws:x': keys that start with aws: or dagy: are reserved"),
        ("AWS:x", "", "reserved"),
        ("dagy:run", "", "reserved"),
        ("Dagy:mine", "", "reserved"),
        ("", "", "'': a key is 1 to 128 letters"),
        ("k" * 129, "", "a key is 1 to 128 letters"),
        ("a#b", "", "'a#b': a key is"),
        ("a\n", "", "a key is"),
        ("é", "", "a key is"),
        ("a", "v" * 257, "'a': its value is up to 256 letters"),
        ("a", "b,c", "'a': its value is"),
        ("a", "aws:events", "not starting with aws:"),
    ],
)
def test_what_ecs_refuses_is_refused_with_its_key(key: str, value: str, what: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | {"tags": {"fine": "x", key: value}})
    assert what in caught.value.problems[0].allowed


def test_every_wrong_tag_is_named() -> None:
    assert tags_problem({"aws:a": "", "b#": "", "c": ""}).count(";") == 1


@unhurried
@given(text | st.text(min_size=250, max_size=300) | st.sampled_from(["aws:a", "AWS:"]))
def test_any_text_becomes_a_value_that_ecs_takes(said: str) -> None:
    assert tags_problem({"a": tag_value(said)}) == ""


@unhurried
@given(tag_keys, tag_values)
def test_a_value_that_ecs_takes_stays_as_it_is(key: str, value: str) -> None:
    assert tag_value(value) == value
    assert tags_problem({key: value}) == ""
