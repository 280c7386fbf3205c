"""Options of launches that only show in a whole run, by the queue, with all processes real."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from dagy_queue import (
    ContainerRequest,
    DagLauncher,
    DagLaunchResult,
    RequestInvalid,
    RunFailed,
    RunHandle,
    fan_out,
    launch,
    launch_container,
)
from dagy_queue.aws.clients import AwsClients
from dagy_queue.ids import AttemptId, new_id
from dagy_queue.launching.definition_cache import NoCache
from dagy_queue.launching.planner import Planner
from dagy_queue.local.commands import dispatcher
from dagy_queue.local.environment import process_environment
from dagy_queue.local.stack import LocalStack
from dagy_queue.settings import load_settings
from tests.integration.conftest import ORG, TIMEOUT

PYTHON = "python:3.12-slim"
PAGE = Path(__file__).parents[2] / "docs" / "launching.md"
SHOW = ["python", "-c", "import os; print(*(os.environ.get(n, '-') for n in ('ONE', 'TWO', 'THREE', 'FOUR')))"]


@pytest.fixture(autouse=True)
def _stack(flows: LocalStack) -> None:
    """Everything here needs the stack."""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Heimdall's complete example, with a sidecar that outlives it."""
    found = re.search(r"^```json\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    document = json.loads(found[1])
    waiting = "import os, time; print(os.environ['TASK_NAME'], flush=True); time.sleep(600)"
    sidecar = {"name": "proxy", "image": PYTHON, "essential": False, "command": ["python", "-c", waiting]}
    document["containerDefinitions"].append(sidecar)
    path = tmp_path / "task-definition.json"
    path.write_text(json.dumps(document))
    return path


def template_of(image: str, command: list[str], **environment: str) -> dict[str, Any]:
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    log = {"awslogs-group": "/ecs/dagy-worker", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "dagy"}
    return {
        "family": "levels",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "containerDefinitions": [
            {
                "name": "main",
                "image": image,
                "command": command,
                "environment": variables,
                "logConfiguration": {"logDriver": "awslogs", "options": log},
            }
        ],
    }


def log_of(task_arn: str, stream: str = "dagy/worker", group: str = "/ecs/dagy-worker") -> list[str]:
    name = f"{stream}/{task_arn.rpartition('/')[2]}"
    events = boto3.client("logs").get_log_events(logGroupName=group, logStreamName=name)["events"]
    return [event["message"] for event in events]


def task_of(run: RunHandle) -> dict[str, Any]:
    arn = run.entry().task_arn
    return dict(boto3.client("ecs").describe_tasks(cluster="dagy", tasks=[arn])["tasks"][0])


def run_of(result: DagLaunchResult) -> RunHandle:
    result.raise_for_error()
    run = RunHandle(result.run_id)
    run.get(timeout=TIMEOUT)
    return run


def test_a_launch_that_waits_knows_its_task() -> None:
    result = DagLauncher().launch(flow_name="echo", org_id=ORG, wait="submitted")
    (task,) = boto3.client("ecs").describe_tasks(cluster="dagy", tasks=[str(result.task_arn)])["tasks"]
    assert task["startedBy"] == f"dagy/{result.run_id}/1"
    assert run_of(result).entry().task_arn == result.task_arn


def test_a_batch_that_waits_knows_all_its_tasks() -> None:
    requests = [{"flow_name": "echo"}, {"flow_name": "no-such-flow"}, {"image": PYTHON, "command": ["python", "-V"]}]
    first, wrong, container = DagLauncher().launch_batch(requests, org_id=ORG, wait="submitted")
    assert (first.success, wrong.success, container.success) == (True, False, True)
    assert first.task_arn != container.task_arn
    assert "no-such-flow" in (wrong.error_message or "")
    assert (run_of(first).entry().task_arn, run_of(container).entry().task_arn) == (first.task_arn, container.task_arn)


def test_heimdalls_complete_example_runs(template: Path) -> None:
    command = {
        "task_definition_template": str(template),
        "container_overrides": [{"name": "main", "environment": [{"name": "CUSTOM_VAR", "value": "custom_value"}]}],
        "timeout": "1h",
        "max_retries": 3,
        "cpu": 256,
        "memory": 512,
    }
    job = fan_out(
        launcher=DagLauncher(profiles={"ecs-batch-job-0.0.1": command}),
        org_id=ORG,
        profile="ecs-batch-job-0.0.1",
        task_count=2,
        container_overrides=[
            {"name": "main", "environment": [{"name": "DATA_SOURCE", "value": "s3://my-bucket/data/"}]}
        ],
    )
    results = job.get(timeout=TIMEOUT)
    for number, result in enumerate(results):
        name = f"dagy-{job.batch_id}-{number}"
        assert log_of(result["task_arn"], "ecs/main", "/ecs/batch-jobs") == [f"Task name: {name}"]
        main = next(c for c in task_of(job.shard(number))["overrides"]["containerOverrides"] if c["name"] == "main")
        env = {variable["name"]: variable["value"] for variable in main["environment"]}
        assert (env["CUSTOM_VAR"], env["DATA_SOURCE"]) == ("custom_value", "s3://my-bucket/data/")
        assert (env["TASK_NAME"], env["TASK_NUM"]) == (name, str(number))


def test_the_walk_throughs_years_run_from_its_task_definition() -> None:
    analyzer = "import sys; assert sys.argv[1] == '-y'; print('Analyzing portfolio for year:', sys.argv[2])"
    document = template_of(PYTHON, ["--help"])
    document["containerDefinitions"][0]["entryPoint"] = ["python", "-c", analyzer]
    boto3.client("ecs").register_task_definition(**{**document, "family": "analyzer"})
    years = range(1999, 2020)
    operator = ContainerRequest(
        org_id=ORG,
        cluster="dagy",
        region="us-east-1",
        launch_type="FARGATE",
        task_definition="analyzer",
        run_task_kwargs={
            "networkConfiguration": {
                "awsvpcConfiguration": {"assignPublicIp": "ENABLED", "subnets": ["subnet-0a1b2c3d"]},
            },
            "overrides": {"containerOverrides": [{"name": "main", "memoryReservation": 500}]},
        },
        max_retries=2,
        retry_delay="10s",
    )
    batch = fan_out(operator, shards=[{"command": ["-y", str(year)]} for year in years])
    logs = [log_of(result["task_arn"], "dagy/main") for result in batch.get(timeout=TIMEOUT)]
    assert logs == [[f"Analyzing portfolio for year: {year}"] for year in years]
    override = task_of(batch.shard(0))["overrides"]["containerOverrides"][0]
    assert (override["command"], override["memoryReservation"]) == (["-y", "1999"], 500)


def test_overrides_of_three_levels_are_merged() -> None:
    levels = template_of(PYTHON, ["false"], ONE="template", TWO="template", THREE="template")
    profile = {"name": "main", "command": SHOW, "environment": {"TWO": "profile", "THREE": "profile"}}
    request = {"name": "main", "environment": {"THREE": "request", "FOUR": "request"}}
    launcher = DagLauncher(profiles={"show": {"task_definition_template": levels, "container_overrides": [profile]}})
    run = run_of(launcher.launch(org_id=ORG, profile="show", container_overrides=[request]))
    assert log_of(run.entry().task_arn, "dagy/main") == ["template profile request request"]


def test_an_override_of_a_container_that_there_is_not_names_those_there_are() -> None:
    run = launch_container(org_id=ORG, image=PYTHON, command=["true"], container_overrides=[{"name": "sidecar"}])
    with pytest.raises(RunFailed, match=r"has the containers worker"):
        run.get(timeout=TIMEOUT)


def test_a_parameter_of_five_megabytes_arrives_and_comes_back() -> None:
    value = "x" * 4_999_998 + "é"
    assert launch(flow_name="echo", org_id=ORG, parameters={"value": value}).get(timeout=TIMEOUT) == value


def test_a_key_of_a_json_secret_is_a_variable() -> None:
    secret = boto3.client("secretsmanager").create_secret(Name="options/db", SecretString='{"user": "ada", "n": 7}')
    secrets = {"ONE": f"{secret['ARN']}:user::", "TWO": f"{secret['ARN']}:n::"}
    run = launch_container(org_id=ORG, image=PYTHON, command=SHOW, secrets_env=secrets)
    assert log_of(run.get(timeout=TIMEOUT)["task_arn"]) == ["ada 7 - -"]


def test_profiles_of_the_file_and_of_the_code_are_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagy-queue.toml").write_text(
        '[profiles."echo:large"]\nflow_name = "echo"\nworkload_profile = "large"\n'
        '[environments.staging]\ncpu = 1024\nmemory = 2048\nextra_env_vars = { STAGE = "blue" }\n'
    )
    monkeypatch.chdir(tmp_path)
    launcher = DagLauncher(load_settings(), profiles={"look": {"flow_name": "surroundings"}})
    of_file = run_of(launcher.launch(org_id=ORG, profile="echo:large"))
    of_code = run_of(launcher.launch(org_id=ORG, profile="look", environment="staging"))
    assert (task_of(of_file)["cpu"], task_of(of_code)["cpu"]) == ("2048", "1024")
    assert of_code.get()["STAGE"] == "blue"


def test_a_shard_can_have_its_number_in_its_command() -> None:
    command = ["python", "-c", "print('{{ run.shard }} of {{ run.org_id }}')"]
    results = fan_out(ContainerRequest(org_id=ORG, image=PYTHON, command=command), task_count=2).get(timeout=TIMEOUT)
    assert [log_of(result["task_arn"]) for result in results] == [["0 of acme"], ["1 of acme"]]


def test_runs_are_on_spot_on_ec2_and_in_the_region_of_their_cluster() -> None:
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    runs = [
        launch(flow_name="echo", org_id=ORG, **fields)
        for fields in (
            {"capacity_provider_strategy": spot},
            {"launch_type": "EC2"},
            {"cluster": "arn:aws:ecs:eu-west-1:000000000000:cluster/dagy"},
        )
    ]
    for run in runs:
        run.get(timeout=TIMEOUT)
    on_spot, on_ec2, elsewhere = map(task_of, runs)
    assert on_spot["capacityProviderName"] == "FARGATE_SPOT"
    assert on_ec2["launchType"] == "EC2"
    definition = boto3.client("ecs").describe_task_definition(taskDefinition=elsewhere["taskDefinitionArn"])
    container = definition["taskDefinition"]["containerDefinitions"][0]
    assert container["logConfiguration"]["options"]["awslogs-region"] == "eu-west-1"


def test_run_task_kwargs_of_two_levels_are_merged_recursively() -> None:
    def override(**environment: str) -> dict[str, Any]:
        variables = [{"name": name, "value": value} for name, value in environment.items()]
        return {"overrides": {"containerOverrides": [{"name": "worker", "environment": variables}]}}

    lower = {"group": "nightly", "enableExecuteCommand": True, **override(ONE="lower", TWO="lower")}
    launcher = DagLauncher(profiles={"show": {"image": PYTHON, "command": SHOW, "run_task_kwargs": lower}})
    upper = {"group": "daily", **override(TWO="upper", THREE="upper")}
    run = run_of(launcher.launch(org_id=ORG, profile="show", run_task_kwargs=upper))
    assert log_of(run.entry().task_arn) == ["lower upper upper -"]
    task = task_of(run)
    assert (task["group"], task["enableExecuteCommand"]) == ("daily", True)


def test_a_thousand_launches_of_one_image_register_one_task_definition(flows: LocalStack) -> None:
    config = flows.settings(ecs={"family": "thousand"})
    planner = Planner(config, AwsClients(config.aws), NoCache())
    for number in range(1000):
        request = ContainerRequest(
            org_id=ORG,
            image=PYTHON,
            command=("echo", str(number)),
            extra_env_vars={"NUMBER": str(number)},
            tags={"number": str(number)},
            **({"cpu": 1024, "memory": 2048} if number % 2 else {"workload_profile": "large"}),
        )
        planner.plan(AttemptId(new_id(), 1), request)
    ecs = boto3.client("ecs")
    families = ecs.list_task_definition_families(familyPrefix="thousand")["families"]
    revisions = [ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"] for family in families]
    assert [len(arns) for arns in revisions] == [1]


def test_nobody_asks_ecs_how_a_run_is_doing(flows: LocalStack) -> None:
    def asked() -> int:
        return int(flows.stats()["calls"].get("ecs.DescribeTasks", 0))

    before = asked()
    assert launch(flow_name="echo", org_id=ORG).get(timeout=TIMEOUT) is None
    assert asked() == before


def test_a_batch_larger_than_the_clusters_limit_is_refused(flows: LocalStack) -> None:
    launcher = DagLauncher(flows.settings(ecs={"max_task_count": 10}))
    with pytest.raises(RequestInvalid, match="at most 10, the cluster's limit"):
        fan_out(launcher=launcher, org_id=ORG, image=PYTHON, task_count=11)


def test_a_launch_that_finds_no_room_is_given_up_after_as_many_tries_as_are_set(tmp_path: Path) -> None:
    most = {"DAGY_QUEUE__DISPATCH__MAX_RUN_TASK_ATTEMPTS": "3", "DAGY_QUEUE__DISPATCH__THROTTLE_DELAY": "0.05"}
    with LocalStack(simulate=True, capacity=0) as full:
        full.spawn("dispatcher", environment=most)
        run = DagLauncher(full.settings()).enqueue(org_id=ORG, image=PYTHON)
        with pytest.raises(RunFailed, match="could not be launched in 3 tries") as caught:
            run.get(timeout=TIMEOUT)
    assert "MAX_RUN_TASK_ATTEMPTS" in caught.value.outcome["resolution"]


def test_a_dispatcher_checks_its_health_before_it_starts(flows: LocalStack) -> None:
    environment = process_environment({**flows.environment, "DAGY_ECS_CLUSTER_ARN": "no-such-cluster"})
    done = subprocess.run(dispatcher(), env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode != 0
    assert "no-such-cluster" in done.stdout + done.stderr
