"""Every row of docs/launch-options.md, run: launched against the local ECS, or its test looked up."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from dagy_queue import (
    DagLauncher,
    DagLaunchResult,
    DeploymentModel,
    DepPackageModel,
    FlowModel,
)
from dagy_queue.aws.clients import AwsClients
from dagy_queue.launching import attempts, direct
from dagy_queue.local.environment import environ
from dagy_queue.local.stack import LocalStack
from dagy_queue.records.models import bind_models
from dagy_queue.settings import load_settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "launch-options.md"
LAUNCHING = ROOT / "docs" / "launching.md"
ORG = "acme-corp"
STUB = "dagy-local/stub"
BASELINE = {
    "family": "baseline",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "1024",
    "memory": "2048",
    "containerDefinitions": [
        {"name": name, "image": STUB, "essential": name == "main"} for name in ("main", "myEcsContainer")
    ],
}
NAMES_A_CONTAINER = frozenset({"kind", "image", "command", "task_definition", "task_definition_template"})


@dataclass(frozen=True)
class Row:
    """One option: what is passed, and what must be true then."""

    where: str
    theirs: str
    here: str
    checks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {re.sub(r'[^A-Za-z0-9_./ ]', '', self.theirs)}"


@dataclass(frozen=True)
class Asked:
    """What a row's second column says."""

    settings: dict[str, str]
    launcher: dict[str, Any]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of RunTask."""

    region: str
    access_key: str
    parameters: dict[str, Any]


def rows_of(text: str) -> Iterator[Row]:
    section, in_table = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            in_table = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells == ["its name", "here", "what ECS gets"]:
            in_table = True
        elif in_table and not set(line) <= set("|- "):
            assert len(cells) == 3, line
            yield Row(section, cells[0], cells[1], tuple(re.findall("`([^`]+)`", cells[2])))


ROWS = list(rows_of(PAGE.read_text()))


def asked_by(row: Row) -> Asked:
    asked = Asked({}, {}, {})
    for piece in re.findall("`([^`]+)`", row.here):
        if re.match(r"(DAGY|AWS)_[A-Z_]+=", piece):
            name, _, value = piece.partition("=")
            asked.settings[name] = value
        elif piece.startswith("DagLauncher("):
            asked.launcher.update(keywords(piece))
        elif re.match(r"[a-z_]+=", piece):
            asked.fields.update(keywords(f"dict({piece})"))
    return asked


def keywords(call: str) -> dict[str, Any]:
    """Return the keyword arguments of a call, which are literals."""
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call), call
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in parsed.keywords}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """AWS, with a flow, a deployment and a task definition in it; nothing dispatches."""
    with LocalStack(simulate=True) as stack, environ({**stack.environment, "DAGY_ECS_WORKER_IMAGE": STUB}):
        bind_models(load_settings())
        for version in ("0.9.0", "1.0.0"):
            FlowModel(
                flow_name="etl_pipeline",
                flow_version=version,
                org_id=ORG,
                spec="{}",
                artifact_s3_uri=f"s3://your-artifact-bucket/flows/etl_pipeline/{version}/artifact.zip",
            ).save()
        DepPackageModel(
            slug="my-deps",
            package_s3_uri="s3://your-artifact-bucket/dep-packages/my-deps.zip",
            org_id=ORG,
            version="1.0.0",
        ).save()
        for name in ("production", "develop"):
            deployment = DeploymentModel(deployment_name=name, environment="production", dep_package_slugs=["my-deps"])
            deployment.defaults = {"extra_env_vars": {"LEVEL": "deployment"}, "workload_profile": "large"}
            deployment.save()
        ecs = boto3.client("ecs")
        ecs.create_cluster(clusterName="my-fargate-cluster")
        ecs.register_task_definition(**BASELINE)
        yield stack


@pytest.fixture(scope="module")
def clients() -> Any:
    """Clients are slow to make: rows with the same AWS settings and credentials share theirs."""
    made = cache(lambda settings, _access_key: AwsClients(settings))
    return lambda settings: made(settings, os.environ["AWS_ACCESS_KEY_ID"])


@pytest.fixture(scope="module")
def ecs(stack: LocalStack) -> Any:
    """ECS's API, to look at what was made."""
    return boto3.client("ecs")


@pytest.fixture
def calls(stack: LocalStack, clients: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Call]]:
    """The calls of RunTask, noted as they go to the local ECS; in a directory with the guide's template."""
    noted: list[Call] = []
    run_task = attempts.run_task

    def note(aws: AwsClients, region: str, parameters: dict[str, Any]) -> str:
        signer: Any = aws.in_region(region).ecs
        noted.append(Call(region, signer._request_signer._credentials.access_key, parameters))
        return run_task(aws, region, parameters)

    monkeypatch.setattr(attempts, "run_task", note)
    monkeypatch.setattr(direct, "AwsClients", clients)
    template = re.search(r"^```json\n(.*?)^```$", LAUNCHING.read_text(), re.DOTALL | re.MULTILINE)
    assert template
    (tmp_path / "task-definition.json").write_text(template[1])
    monkeypatch.chdir(tmp_path)
    return noted


def launched(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> DagLaunchResult:
    for name, value in asked.settings.items():
        monkeypatch.setenv(name, value)
    fields = {"org_id": ORG, **asked.fields}
    profile = (asked.launcher.get("profiles") or {}).get(fields.get("profile"), {})
    if not {*fields, *profile} & NAMES_A_CONTAINER:
        fields.setdefault("flow_name", "etl_pipeline")
    return DagLauncher(load_settings(), mode="direct", **asked.launcher).launch(**fields)


def facts_of(result: DagLaunchResult, calls: list[Call], ecs: Any) -> dict[str, Any]:
    """Return what the expressions of the page can use."""
    if not result.success:
        return {"result": result, "refused": result.error_message or ""}
    (call,) = calls
    parameters = call.parameters
    definition = ecs.describe_task_definition(taskDefinition=parameters["taskDefinition"])["taskDefinition"]
    overrides = parameters["overrides"]
    worker, *others = overrides["containerOverrides"]
    container = next(c for c in definition["containerDefinitions"] if c["name"] == worker["name"])
    listed = [*container.get("environment", ()), *worker["environment"]]
    env = {variable["name"]: variable["value"] for variable in listed}
    (task,) = ecs.describe_tasks(cluster=parameters["cluster"], tasks=[result.task_arn or "none"])["tasks"]
    return {
        "result": result,
        "refused": "",
        "region": call.region,
        "signed_by": call.access_key,
        "run_task": parameters,
        "overrides": overrides,
        "worker": worker,
        "others": others,
        "definition": definition,
        "container": container,
        "env": env,
        "spec": json.loads(env.get("DAGY_RUN_SPEC", "{}")),
        "tags": {tag["key"]: tag["value"] for tag in parameters["tags"]},
        "vpc": parameters.get("networkConfiguration", {}).get("awsvpcConfiguration", {}),
        "log": container.get("logConfiguration", {}).get("options", {}),
        "task": task,
    }


@cache
def functions_of(file: str) -> dict[str, list[str]]:
    """Return the tests of a file with their decorators."""
    functions = [node for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    return {f.name: [ast.unparse(decorator) for decorator in f.decorator_list] for f in functions}


def check_test(reference: str) -> None:
    file, _, name = reference.partition("::")
    assert name in functions_of(file), f"there is no test {reference}"
    assert not [d for d in functions_of(file)[name] if "skip" in d or "xfail" in d], f"{reference} is not run"


def is_true(expression: str, facts: dict[str, Any]) -> bool:
    return bool(eval(expression, {"__builtins__": {"len": len}}, facts))  # noqa: S307 - the page is ours


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_option_does_what_its_row_says(
    row: Row, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert row.checks, "nothing to check"
    expressions = [check for check in row.checks if not check.startswith("tests/")]
    for reference in set(row.checks) - set(expressions):
        check_test(reference)
    if not expressions:
        return
    facts = facts_of(launched(asked_by(row), monkeypatch), calls, ecs)
    if not any("refused" in expression for expression in expressions):
        assert facts["result"].success, facts["refused"]
    for expression in expressions:
        assert is_true(expression, facts), f"{expression}\n{facts}"


def test_every_row_of_the_page_is_read() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not set(line) <= set("|- ")]
    headers = [line for line in lines if line.startswith(("| its name |", "| level |"))]
    assert len(ROWS) + len(LEVELS) == len(lines) - len(headers)


def text_of(level: str) -> dict[str, Any]:
    """Return container overrides that say where they are from."""
    return {"container_overrides": [{"name": "main", "environment": {"LEVEL": level}}]}


TEMPLATE = {**BASELINE, "cpu": "512", "memory": "1024", "executionRoleArn": "arn:aws:iam::1:role/template"}
SAYS_SETTINGS = {"DAGY_QUEUE__ECS__EXECUTION_ROLE_ARN": "arn:aws:iam::1:role/settings"}
ENVIRONMENT = {"environments": {"production": {"workload_profile": "small", **text_of("environment")}}}
PROFILE = {"profiles": {"mine": {"workload_profile": "medium", **text_of("profile")}}}
FROM_TEMPLATE = {"task_definition_template": TEMPLATE, "container_name": "main"}
DEPLOYED = {"deployment_name": "production", "environment": "production"}
KWARGS = {
    "overrides": {"containerOverrides": [{"name": "main", "environment": [{"name": "LEVEL", "value": "kwargs"}]}]}
}

PAIRS = {
    "settings_over_built_in": (
        Asked({"DAGY_QUEUE__ECS__CPU": "512", "DAGY_QUEUE__ECS__MEMORY": "1024"}, {}, {}),
        'definition["cpu"] == "512"',
    ),
    "template_over_settings": (
        Asked(SAYS_SETTINGS, {}, FROM_TEMPLATE),
        'definition["executionRoleArn"] == "arn:aws:iam::1:role/template"',
    ),
    "deployment_over_template": (
        Asked({}, {}, {**FROM_TEMPLATE, **DEPLOYED}),
        '(definition["cpu"], task["cpu"]) == ("512", "2048")',
    ),
    "environment_over_deployment": (
        Asked({}, ENVIRONMENT, {**FROM_TEMPLATE, **DEPLOYED}),
        '(overrides["cpu"], env["LEVEL"]) == ("256", "environment")',
    ),
    "profile_over_environment": (
        Asked({}, {**ENVIRONMENT, **PROFILE}, {**FROM_TEMPLATE, "environment": "production", "profile": "mine"}),
        '(overrides["cpu"], env["LEVEL"]) == ("1024", "profile")',
    ),
    "request_over_profile": (
        Asked({}, PROFILE, {**FROM_TEMPLATE, "profile": "mine", "cpu": 2048, "memory": 8192, **text_of("request")}),
        '(overrides["cpu"], overrides["memory"], env["LEVEL"]) == ("2048", "8192", "request")',
    ),
    "container_overrides_over_request": (
        Asked({}, {}, {**FROM_TEMPLATE, "extra_env_vars": {"LEVEL": "request"}, **text_of("override")}),
        'env["LEVEL"] == "override"',
    ),
    "run_task_kwargs_over_container_overrides": (
        Asked({}, {}, {**FROM_TEMPLATE, **text_of("override"), "run_task_kwargs": KWARGS}),
        'env["LEVEL"] == "kwargs"',
    ),
}
LEVELS = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \*\*\d", line)]


USUAL = json.dumps([{"name": "main", "environment": {"LEVEL": "usual"}}])


@pytest.mark.parametrize(
    ("setting", "level"),
    [
        ({"DAGY_QUEUE__ECS__CONTAINER_OVERRIDES": USUAL}, "usual"),
        ({"DAGY_QUEUE__ECS__RUN_TASK_KWARGS": json.dumps(KWARGS)}, "kwargs"),
    ],
)
def test_overrides_of_the_settings_win_over_fields_of_a_request(
    setting: dict[str, str], level: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(setting, {}, {**FROM_TEMPLATE, "extra_env_vars": {"LEVEL": "request"}})
    assert is_true(f"env['LEVEL'] == '{level}'", facts_of(launched(asked, monkeypatch), calls, ecs))


@pytest.mark.parametrize("name", PAIRS)
def test_a_level_wins_over_the_one_below(
    name: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, expression = PAIRS[name]
    facts = facts_of(launched(asked, monkeypatch), calls, ecs)
    assert is_true(expression, facts), facts


def test_each_level_of_the_page_names_its_test() -> None:
    assert [line.rpartition("| `")[2].rstrip("`| ") for line in LEVELS[1:]] == list(PAIRS)


def test_settings_come_from_the_file_then_variables_then_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagy-queue.toml").write_text('[ecs]\nfamily = "file"\nlog_group = "file"\ncluster = "file"\n')
    monkeypatch.setenv("DAGY_QUEUE__ECS__LOG_GROUP", "variable")
    monkeypatch.setenv("DAGY_QUEUE__ECS__CLUSTER", "variable")
    ecs = load_settings(ecs={"cluster": "code"}).ecs
    assert (ecs.family, ecs.log_group, ecs.cluster) == ("file", "variable", "code")


@pytest.mark.parametrize(
    ("lower", "upper", "expression"),
    [
        ({"workload_profile": "small"}, {"cpu": 2048, "memory": 4096}, 'overrides["cpu"] == "2048"'),
        ({"cpu": 2048, "memory": 4096}, {"workload_profile": "small"}, 'overrides["cpu"] == "256"'),
        (
            {"launch_type": "EC2"},
            {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            'task["capacityProviderName"] == "FARGATE_SPOT"',
        ),
        (
            {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            {"launch_type": "EC2"},
            'task["launchType"] == "EC2"',
        ),
        ({"task_definition": "baseline"}, {"image": STUB}, 'definition["family"].startswith("dagy-worker-")'),
        ({"image": STUB}, {"task_definition": "baseline"}, 'definition["family"] == "baseline"'),
    ],
)
def test_two_ways_to_say_the_same_take_each_other_away(
    lower: Any, upper: Any, expression: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked({}, {"profiles": {"lower": lower}}, {"profile": "lower", **upper})
    assert is_true(expression, facts_of(launched(asked, monkeypatch), calls, ecs))


@pytest.mark.parametrize("name", ["clientToken", "startedBy", "referenceId"])
def test_what_carries_the_run_id_cannot_be_set(name: str, calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked({}, {}, {"run_task_kwargs": {name: "mine"}})
    assert f"{name} cannot be set" in (launched(asked, monkeypatch).error_message or "")
    assert not calls


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_env_vars": {"DAGY_RUN_ID": "mine"}},
        {"secrets_env": {"TASK_NAME": "arn:aws:ssm:us-east-1:123456789:parameter/name"}},
        {"container_overrides": [{"name": "worker", "environment": {"TASK_NUM": "7"}}]},
        {"tags": {"dagy:run": "mine"}},
    ],
)
def test_names_that_are_ours_cannot_be_set(
    fields: dict[str, Any], calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reserved" in (launched(Asked({}, {}, fields), monkeypatch).error_message or "")
    assert not calls


def test_what_does_not_fit_into_the_overrides_is_refused_with_the_limit(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = launched(Asked({}, {}, {"extra_env_vars": {"LARGE": "x" * 6144}}), monkeypatch).error_message or ""
    assert "and 6144 fit; put large values into S3" in refused
    assert launched(Asked({}, {}, {"extra_env_vars": {"LARGE": "x" * 6000}}), monkeypatch).success
    assert len(json.dumps(calls[0].parameters["overrides"], separators=(",", ":"))) <= 8192


def test_more_tags_than_ecs_takes_are_refused_with_the_limit(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {f"tag-{index}": "" for index in range(43)}
    refused = launched(Asked({}, {}, {"tags": tags}), monkeypatch).error_message or ""
    assert "43 tags given, 42 allowed: ECS takes 50, and 8 are ours" in refused
    tags.popitem()
    assert launched(Asked({}, {}, {"tags": tags}), monkeypatch).success
