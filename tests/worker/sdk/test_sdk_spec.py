"""flow_spec.json: every spec that is written conforms to the schema, comes back whole, and bad ones are refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dagy import DAG, Flow, FlowSpec, flow, task
from dagy.describing import describe
from dagy.errors import SpecError
from dagy.spec import Entrypoint

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "flow-spec.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
ENTRYPOINT = Entrypoint(file="src/a_flow.py", object="f")

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(lambda name: name != "latest")
texts = st.text(st.characters(codec="utf-8"), max_size=10)
tags = st.dictionaries(texts, texts, max_size=2)
seconds = st.floats(0, 1e6) | st.integers(0, 1000)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "description": texts,
        "executor": st.sampled_from(["ecs", "lambda", "step-functions"]),
        "retries": st.integers(0, 3),
        "retry_delay_seconds": seconds | st.lists(seconds, min_size=1, max_size=3) | st.just(lambda n: [1] * n),
        "retry_jitter_factor": seconds,
        "timeout_seconds": st.floats(0.001, 1e6),
        "concurrency_limit": st.integers(1, 9),
        "validate_parameters": st.booleans(),
        "on_failure": st.just(lambda _context, _state: None),
        "retry_condition_fn": st.just(lambda _error: True),
        "cpu": st.integers(1, 16384),
        "memory": st.integers(1, 122880),
        "tags": tags,
    },
)


@st.composite
def dags(draw: st.DrawFn) -> Flow:
    kinds = [task(name=f"t{i}", **draw(options))(lambda *_: None) for i in range(draw(st.integers(1, 3)))]
    dag = DAG(
        draw(names),
        version=draw(names),
        description=draw(texts),
        parameters=draw(st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), json_values, max_size=3)),
        fail_fast=draw(st.booleans()),
        max_workers=draw(st.none() | st.integers(1, 64)),
        tags=draw(tags),
    )
    with dag:
        outputs: list[Any] = ["{{ parameters.needed }}"] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(1, 8))):
            inputs = draw(st.lists(st.sampled_from(outputs), max_size=3)) if outputs else []
            outputs.append(draw(st.sampled_from(kinds))(*inputs))
    return dag


@given(dags())
def test_the_spec_of_any_flow_conforms_to_the_schema_and_comes_back_whole(dag: Flow) -> None:
    spec = describe(dag, ENTRYPOINT)
    VALIDATOR.validate(json.loads(spec.to_json()))
    again = FlowSpec.from_json(spec.to_json())
    assert again.as_json() == spec.as_json()


def test_a_spec_without_a_graph_conforms_too() -> None:
    @flow(name="f")
    def needs(n: int, default: object = object()) -> None: ...

    spec = describe(needs, ENTRYPOINT)
    document = json.loads(spec.to_json())
    VALIDATOR.validate(document)
    assert (document["tasks"], document["outputs"]) == (None, None)
    assert FlowSpec.from_json(spec.to_json()).as_json() == spec.as_json()


def a_document(**changes: Any) -> dict[str, Any]:
    with DAG("f", version="1") as dag:
        first = task(name="a")(lambda: 1)()
        task(name="b")(lambda x: x)(first)
    return {**describe(dag, ENTRYPOINT).as_json(), **changes}


def test_members_that_are_not_known_are_ignored() -> None:
    document = a_document(colour="blue")
    document["tasks"][0]["shape"] = "round"
    document["tasks"][0]["options"]["mood"] = "good"
    assert FlowSpec.from_json(json.dumps(document)).name == "f"
    VALIDATOR.validate(document)


def test_what_an_earlier_schema_1_did_not_have_may_be_missing() -> None:
    document = a_document()
    for name in ("description", "tags", "fail_fast", "max_workers", "outputs"):
        del document[name]
    for call in document["tasks"]:
        del call["task"]
    spec = FlowSpec.from_json(json.dumps(document))
    assert (spec.fail_fast, spec.max_workers, spec.outputs) == (True, None, None)
    assert [call.task for call in spec.tasks or ()] == ["a", "b"]
    VALIDATOR.validate(document)


TASK = {"name": "a", "function": "a", "upstream": [], "options": {}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name=3: expected a string"),
        ({"parameters": {}}, "parameters={}: expected a list of objects"),
        ({"parameters": [{"name": "x", "required": "no"}]}, r"parameters\[0\].required='no': expected true or false"),
        ({"parameters": [{"required": True}]}, r"missing 'parameters\[0\].name'"),
        ({"tasks": 3}, "tasks=3: expected a list of objects, or null"),
        ({"tasks": [{**TASK, "upstream": "x"}]}, r"tasks\[0\].upstream='x': expected a list of strings"),
        ({"tasks": [{**TASK, "options": None}]}, r"tasks\[0\].options=None: expected an object"),
        ({"tasks": [{**TASK, "upstream": ["z"]}], "outputs": []}, r"tasks\[0\].upstream: there is no task 'z'"),
        ({"outputs": ["z"]}, "outputs: there is no task 'z'"),
        ({"max_workers": 0}, "max_workers=0: expected an integer of at least 1, or null"),
        ({"tags": {"a": 1}}, "tags.a=1: expected a string"),
        ({"entrypoint": {"file": "src/x.py"}}, "missing 'entrypoint.object'"),
        (
            {"schema": 2},
            r"schema 2 is not supported; this side reads 1, so it is older than .* upgrade dagy-worker here",
        ),
        ({"schema": 0}, r"schema 0 is not supported; this side reads 1: build the artifact again with `dagy build`"),
        ({"schema": "1"}, "schema '1' is not supported"),
        ({"schema": True}, "schema True is not supported"),
        ({"schema": None}, r"missing 'schema'. `dagy build` writes it"),
    ],
)
def test_a_document_that_is_not_a_flow_spec_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"^flow spec: {message}"):
        FlowSpec.from_json(json.dumps(a_document(**changes)))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "expected an object, got list"), ("[" * 100_000, "not JSON")]
)
def test_a_text_that_is_no_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"flow spec: {message}"):
        FlowSpec.from_json(text)


@given(st.recursive(json_values, lambda inner: st.dictionaries(st.sampled_from([*a_document()]), inner, max_size=8)))
def test_whatever_is_read_is_a_spec_or_a_spec_error(document: Any) -> None:
    whole = {**a_document(), **document} if isinstance(document, dict) else document
    with suppress(SpecError):
        assert FlowSpec.from_json(json.dumps(whole)).as_json()["schema"] == 1
