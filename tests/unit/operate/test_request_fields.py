from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.operate.request_fields import Words, document, pairs, value_of, values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024", 2024),
        ("true", True),
        ('{"a": [1]}', {"a": [1]}),
        ('"2024"', "2024"),
        ("2024-01-31", "2024-01-31"),
        ("Ada", "Ada"),
        ("", ""),
        ("NaN", "NaN"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_json_else_text(text: str, value: Any) -> None:
    assert value_of(text) == value


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_every_json_value_can_be_said(value: Any) -> None:
    assert value_of(json.dumps(value)) == value


@given(st.text())
def test_every_text_is_some_value(text: str) -> None:
    value_of(text)


def test_pairs_have_a_name_and_a_value_that_may_hold_an_equals_sign() -> None:
    assert pairs("env", ["A=1", "B=x=y", "C=", "A=2"]) == {"A": "2", "B": "x=y", "C": ""}
    assert values("param", ["n=1", "name=Ada"]) == {"n": 1, "name": "Ada"}
    assert pairs("env", None) == {}


@pytest.mark.parametrize("word", ["A", "=1", ""])
def test_a_word_without_name_or_value_is_refused(word: str) -> None:
    with pytest.raises(RequestInvalid, match="a name and a value, as in name=value"):
        pairs("env", [word])


@pytest.mark.parametrize(
    ("option", "word", "shown"),
    [
        ("param", "=x", "param = '=x'"),
        ("grid", "name", "grid = 'name'"),
        ("env", "=hidden", "env = '=…'"),
        ("secret", "=hidden", "secret = '=…'"),
        ("set", "=hidden", "set = '=…'"),
        ("env", "=", "env = '='"),
        ("env", "A", "env = 'A'"),
    ],
)
def test_a_word_that_is_refused_is_shown_as_it_was_typed_but_for_secrets(option: str, word: str, shown: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        pairs(option, [word])
    assert f"{shown}: a name and a value" in str(caught.value)


def test_a_document_is_an_object_as_text_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"n": 1}')
    assert document("parameters", f"@{tmp_path / 'p.json'}") == document("parameters", '{"n": 1}') == {"n": 1}
    assert document("parameters", "") == {}


@pytest.mark.parametrize("text", ["@/no/such/file", "[1]", "nonsense", '{"a": NaN}'])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid, match="parameters"):
        document("parameters", text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RequestInvalid, match="not UTF-8"):
        document("parameters", f"@{tmp_path / 'p.json'}")


def test_a_flows_words_become_its_fields() -> None:
    words = Words(
        flow="etl",
        version="1.0.0",
        parameters='{"a": 1, "b": 2}',
        params=["b=3"],
        env=["A=1"],
        more=["oom_retries=2", "tags={}"],
        plain={"org_id": "acme", "cpu": "", "priority": None, "max_retries": 0},
    )
    assert words.fields() == {
        "flow_name": "etl",
        "flow_version": "1.0.0",
        "parameters": {"a": 1, "b": 3},
        "extra_env_vars": {"A": "1"},
        "org_id": "acme",
        "max_retries": 0,
        "oom_retries": 2,
        "tags": {},
    }


def test_of_a_container_the_words_behind_the_dashes_are_its_command() -> None:
    words = Words(command=["python", "-c", "1"], image="python:3.12-slim")
    assert words.fields() == {
        "kind": "container",
        "image": "python:3.12-slim",
        "command": ["python", "-c", "1"],
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (Words(), "the name of a flow, or --image"),
        (Words(flow="etl", command=("a",)), "parameters go by --param"),
        (Words(flow="etl", astray=("a", "b")), "COMMAND = 'a b': nothing behind the name of a flow"),
        (Words(flow="etl@1.0.0"), "FLOW = 'etl@1.0.0': the name alone; .*: etl --version 1.0.0"),
        (Words(command=("etl",)), "COMMAND = 'etl': a container for it, .*; the name of a flow goes before --"),
        (Words(flow="etl", image="x"), "FLOW = 'etl': a flow or --image, not both; .* goes behind --"),
        (Words(flow="etl", image="x", command=("a",)), "FLOW = 'etl': a flow or --image, not both"),
        (Words(flow="etl", task_definition="x"), "FLOW = 'etl': a flow or --task-definition, not both"),
        (Words(flow="echo", astray=("a b",), image="x"), "COMMAND = .echo a b.: .* behind --, as in -- echo 'a b'"),
        (Words(image="x", params=["a=1"]), "its command goes behind --"),
        (Words(image="x", version="1"), "its command goes behind --"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words: Words, problem: str) -> None:
    with pytest.raises(RequestInvalid, match=problem):
        words.fields()


def test_a_profile_may_say_what_runs() -> None:
    assert Words(plain={"profile": "nightly", "org_id": "acme"}).fields() == {"profile": "nightly", "org_id": "acme"}
