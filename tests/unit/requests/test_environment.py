from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy.contract import Env
from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest, parse_request, read_request
from dagy_queue.requests.environment import as_list, as_variables, environment_problem, is_secret_arn
from tests.unit.strategies import env_names, plain, secret_arns, text, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
SECRET = "hunter2-hunter2"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"


def refusal(fields: dict[str, Any], model: Any = None) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        parse_request(FLOW | fields) if model is None else parse_request(fields, model)
    return caught.value


def everything_said(error: BaseException | None) -> str:
    """Return all that an error says to whoever prints, logs, pickles or looks at it, with all that led to it."""
    said = ""
    while error is not None:
        said += f"{error!s}{error!r}{error.args}{getattr(error, 'problems', '')}{getattr(error, 'errors', str)()}"
        said += "".join(traceback.format_exception(error, chain=True)) + pickle.dumps(error).decode("latin-1")
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("name", [value for key, value in vars(Env).items() if key.isupper()])
def test_every_variable_of_the_contract_is_reserved(name: str) -> None:
    assert environment_problem(name).startswith(f"{name} is reserved")


@pytest.mark.parametrize("name", ["DAGY_", "DAGY_MINE", "TASK_NAME", "TASK_NUM"])
@pytest.mark.parametrize(
    "where",
    [
        lambda own: {"extra_env_vars": own},
        lambda own: {"extra_env_vars": as_list(own)},
        lambda own: {"secrets_env": dict.fromkeys(own, f"{ARN}db")},
        lambda own: {"container_overrides": [{"name": "worker", "environment": own}]},
        lambda own: {
            "run_task_kwargs": {"overrides": {"containerOverrides": [{"name": "a", "environment": as_list(own)}]}}
        },
    ],
)
def test_reserved_names_are_refused_wherever_variables_are_given(name: str, where: Any) -> None:
    assert f"{name} is reserved: names that start with DAGY_" in str(refusal(where({name: "x"})))


@unhurried
@given(env_names, plain)
def test_other_names_are_taken_with_any_text(name: str, value: str) -> None:
    assert parse_request(FLOW | {"extra_env_vars": {name: value}}).extra_env_vars == {name: value}


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_no_process_can_be_given_is_refused(value: str) -> None:
    assert [problem.field.split(".")[0] for problem in refusal({"extra_env_vars": {"A": value}}).problems] == [
        "extra_env_vars"
    ]


@unhurried
@given(st.dictionaries(env_names, plain, max_size=4))
def test_variables_are_the_same_as_a_mapping_and_in_ecs_form(variables: dict[str, str]) -> None:
    assert as_variables(as_list(variables)) == as_variables(variables) == variables


@pytest.mark.parametrize(
    "arn",
    [
        f"{ARN}prod/db-AbCdEf",
        f"{ARN}db",
        f"{ARN}db-AbCdEf:password::",
        f"{ARN}db-AbCdEf:password:AWSPREVIOUS:",
        f"{ARN}db-AbCdEf:::0aab34",
        f"{ARN}db-AbCdEf:a.b:stage:0aab34",
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:db",
        "arn:aws:ssm:eu-central-1:123456789012:parameter/prod/db.password",
    ],
)
def test_secrets_are_named_by_arn(arn: str) -> None:
    assert is_secret_arn(arn)
    assert parse_request(FLOW | {"secrets_env": {"DB": arn}}).secrets_env == {"DB": arn}


@pytest.mark.parametrize(
    "plain_text",
    [
        "",
        SECRET,
        f"{ARN}",
        f"{ARN}db:password",
        f"{ARN}db:password:",
        f"{ARN}db:a:b:c:d",
        f"{ARN}d b",
        f"{ARN}db\n",
        f" {ARN}db",
        "arn:aws:secretsmanager:us-east-1:\u0661:secret:db",
        "arn:aws:iam::123456789012:role/db",
        "arn:aws:ssm:us-east-1:123456789012:parameter",
        "/prod/db",
    ],
)
def test_what_is_no_arn_of_a_secret_is_refused(plain_text: str) -> None:
    (problem,) = refusal({"secrets_env": {"DB": plain_text}}).problems
    assert problem.allowed.startswith("DB: the ARN of a Secrets Manager secret")
    assert problem.value == "(hidden)"


@unhurried
@given(text.filter(lambda value: not value.startswith("arn:")))
def test_no_other_text_is_a_secret(value: str) -> None:
    assert not is_secret_arn(value)


@unhurried
@given(secret_arns)
def test_a_variable_is_a_secret_or_a_value(arn: str) -> None:
    error = refusal({"secrets_env": {"DB": arn, "B": arn}, "extra_env_vars": {"DB": SECRET}})
    assert "DB: in extra_env_vars or in secrets_env, not in both" in str(error)
    assert SECRET not in everything_said(error)


ENVIRONMENT = {"OK": SECRET, "DAGY_X": "1"}
LEAKS: list[dict[str, Any]] = [
    {"secrets_env": {"DB": SECRET}},
    {"secrets_env": {"DB": {"valueFrom": SECRET}}},
    {"secrets_env": [{"name": "DB", "value": SECRET}]},
    {"secrets_env": SECRET},
    {"secrets_env": {"DAGY_X": SECRET, "1": SECRET}},
    {"secret_env": {"DB": SECRET}},
    {"secrets": {"DB": SECRET}},
    {"env": {"DB": SECRET}},
    {"db_password": SECRET},
    {"extra_env_vars": ENVIRONMENT},
    {"extra_env_vars": {"DB": [SECRET]}},
    {"extra_env_vars": {"DB": SECRET.encode() + b"\xff"}},
    {"extra_env_vars": {"DB": f"{SECRET}\0"}},
    {"extra_env_vars": as_list(ENVIRONMENT)},
    {"extra_env_vars": [{"name": "DB", "value": SECRET, "more": 1}]},
    {"container_overrides": [{"name": "worker", "environment": ENVIRONMENT}]},
    {"container_overrides": [{"name": "worker", "environment": {"DB": [SECRET]}}]},
    {"container_overrides": [{"name": "worker", "environment": {"A": SECRET}}] * 2},
    {"container_overrides": [{"environment": {"A": SECRET}}]},
    {"container_overrides": {"worker": {"PW": SECRET}}},
    {"container_overrides": [{"name": "worker", "vars": {"PW": SECRET}}]},
    {"container_overrides": [{"name": "worker", "variables": SECRET}]},
    {"run_task_kwargs": {"overrides": {"containerOverrides": [{"name": "w", "environment": {"PW": SECRET}}]}}},
    {
        "task_definition_template": {
            "containerDefinitions": [{"name": "a", "image": "i", "environment": {"PW": SECRET}}]
        }
    },
    {"container_overrides": [{"name": "worker", "secrets": [{"name": "DB", "valueFrom": SECRET}]}]},
    {"run_task_kwargs": {"count": 2, "overrides": {"containerOverrides": [{"environment": as_list(ENVIRONMENT)}]}}},
    {"run_task_kwargs": {"overrides": {"containerOverrides": [{"name": "a", "environment": as_list(ENVIRONMENT)}]}}},
    {"task_definition_template": {"containerDefinitions": [{"name": "a", "environment": as_list(ENVIRONMENT)}]}},
    {
        "task_definition_template": {
            "containerDefinitions": [{"name": "a", "secrets": [{"name": "DB", "valueFrom": SECRET}]}]
        }
    },
]


@pytest.mark.parametrize("fields", LEAKS)
def test_a_secret_is_in_nothing_that_a_refusal_says(fields: dict[str, Any]) -> None:
    errors = [refusal(fields), refusal(fields | {"org_id": "acme", "priority": 10}, ContainerRequest)]
    with pytest.raises(RequestInvalid) as caught:
        read_request(FLOW | fields)
    for error in [*errors, caught.value]:
        assert SECRET not in everything_said(error)
        assert error.__context__ is None
