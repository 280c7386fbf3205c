"""The samples of Dagy's guide, run: ``guide_samples.py`` has them as they stand there."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import pytest

from dagy.cli import main as dagy
from dagy_queue import (
    DagLauncher,
    DagLaunchRequest,
    DagLaunchResult,
    DeploymentModel,
    DepPackageModel,
    RunHandle,
    RunModel,
)
from dagy_queue.local.environment import environ
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate.flows import push_flow
from dagy_queue.records.models import bind_models
from dagy_queue.requests import parse_request
from tests.integration import guide_samples as guide
from tests.integration.conftest import TIMEOUT, forget_settings
from tests.integration.waiting import eventually

ORG = "acme-corp"
FLOWS = Path(__file__).parent / "flows" / "guide.py"
BUCKET = "your-artifact-bucket"
PANDAS = """
class Frame(dict):
    def assign(self, **columns):
        return Frame(self, **columns)
    def to_parquet(self, destination):
        assert self["processed"]
        print("parquet written to", destination)

def read_csv(source):
    return Frame(source=source)
"""
"""Stands in for the real one, whose Parquet needs an engine of its own."""


@pytest.fixture(scope="module")
def guides_stack(stack: LocalStack) -> LocalStack:
    """The session's stack with the guide's flows, packages and deployments."""
    bind_models(stack.settings())
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    package = {"requirements.txt": "", "custom_module/helpers.py": "def helper_function(): pass\n"}
    s3.put_object(Bucket=BUCKET, Key="dep-packages/my-deps.zip", Body=zipped(package))
    guide.register_package()
    guide.define_deployment()
    for name in ("develop", "staging"):
        DeploymentModel(deployment_name=name, environment=name).save()
    for flow in ("etl_pipeline", "process_shard", "train_model", "large_data_process", "my_pipeline", "api_pipeline"):
        push_flow(stack.settings(), FLOWS, org_id=ORG, flow=flow)
    return stack


@pytest.fixture(autouse=True)
def launcher(guides_stack: LocalStack) -> DagLauncher:
    return DagLauncher()


@pytest.fixture
def direct_mode(guides_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DAGY_QUEUE__LAUNCH__MODE", "direct")
    forget_settings()
    yield
    monkeypatch.undo()
    forget_settings()


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def value_of(result: DagLaunchResult) -> Any:
    assert result.success, result.error_message
    return RunHandle(result.run_id).get(timeout=TIMEOUT)


def task_of(result: DagLaunchResult) -> dict[str, Any]:
    """Return what ECS says of the task of a run that is over."""
    arn = RunHandle(result.run_id).entry().task_arn
    return dict(boto3.client("ecs").describe_tasks(cluster="dagy", tasks=[arn])["tasks"][0])


def subnet_of(task: dict[str, Any]) -> str:
    return next(d["value"] for d in task["attachments"][0]["details"] if d["name"] == "subnetId")


def ended(launcher: DagLauncher, run_id: str) -> Any:
    def look() -> Any:
        found = launcher.get_run_status(run_id)
        return found if found and found["completed_at"] else None

    return eventually(look, f"run {run_id} is over")


def test_the_lambda_handler_launches_a_run() -> None:
    answer = guide.lambda_handler({}, None)
    assert answer["statusCode"] == 200
    body = answer["body"]
    assert (body["success"], body["error"]) == (True, None)
    value = RunHandle(body["run_id"]).get(timeout=TIMEOUT)
    assert value == {
        "date": "2024-03-14",
        "source_bucket": "s3://data-input",
        "DAGY_CORRELATION_ID": "req-12345",
    }


def test_the_lambda_handler_in_direct_mode_answers_with_the_task(direct_mode: None) -> None:
    body = guide.lambda_handler({}, None)["body"]
    assert body["success"]
    assert body["task_arn"].startswith("arn:aws:ecs:us-east-1:000000000000:task/dagy/")
    status = ended(DagLauncher(), body["run_id"])
    assert (status["status"], status["task_arn"], status["error_message"]) == ("SUCCEEDED", body["task_arn"], None)


def test_a_launcher_with_everything_given_launches_where_it_was_told() -> None:
    result = guide.explicit_launcher().launch(flow_name="etl_pipeline", org_id=ORG)
    assert value_of(result)
    task = task_of(result)
    assert task["containers"][0]["image"] == "123456789.dkr.ecr.us-east-1.amazonaws.com/dagy-worker:latest"
    assert subnet_of(task) in ("subnet-12345", "subnet-67890")
    roles = (task["overrides"]["executionRoleArn"], task["overrides"]["taskRoleArn"])
    assert roles == ("arn:aws:iam::123456789:role/ecs-exec-role", "arn:aws:iam::123456789:role/ecs-task-role")


def test_the_request_has_the_guides_fields_and_defaults(launcher: DagLauncher) -> None:
    request = DagLaunchRequest(flow_name="etl_pipeline", org_id=ORG)
    assert request.flow_version == "latest"
    assert (request.parameters, request.extra_env_vars, request.metadata) == ({}, {}, {})
    assert (request.environment, request.deployment_name, request.correlation_id, request.triggered_by) == ("",) * 4
    sizes = (request.workload_profile, request.cpu, request.memory, request.ephemeral_storage_gib)
    assert sizes == (None, None, None, None)
    assert value_of(launcher.launch(request)).keys() == {"DAGY_CORRELATION_ID"}


def test_a_batch_is_launched_with_children_of_its_correlation_id(
    launcher: DagLauncher, capsys: pytest.CaptureFixture[str]
) -> None:
    results = guide.batch(launcher)
    assert [result.correlation_id for result in results] == [f"batch-req-12345:{i}" for i in range(4)]
    values = [{"shard": str(i), "DAGY_CORRELATION_ID": f"batch-req-12345:{i}"} for i in range(4)]
    assert [value_of(result) for result in results] == values
    assert capsys.readouterr().out.startswith(f"Shard 0: {results[0].run_id} -> ")


def test_sizes_and_storage_are_as_asked(launcher: DagLauncher) -> None:
    samples = (guide.named_workload_profile, guide.explicit_resources, guide.ephemeral_storage)
    results = [sample(launcher) for sample in samples]
    for result in results:
        value_of(result)
    large, explicit, storage = map(task_of, results)
    assert (large["cpu"], large["memory"]) == (explicit["cpu"], explicit["memory"]) == ("2048", "4096")
    assert storage["ephemeralStorage"] == {"sizeInGiB": 100}


def test_a_deployment_brings_its_packages(launcher: DagLauncher) -> None:
    # The sample names no environment: a deployment without one is meant, or the only one of that name.
    assert value_of(guide.with_dependency_packages(launcher)) == "custom_module.helpers"


def test_the_api_handler_launches_what_the_url_names() -> None:
    event = {
        "pathParameters": {"flowName": "etl_pipeline"},
        "queryStringParameters": {"org_id": ORG},
        "body": json.dumps({"parameters": {"date": "2024-03-14", "source": "s3://bucket/input.csv"}}),
        "requestContext": {"http": {"sourceIp": "203.0.113.7"}},
    }
    answer = guide.api_handler(event, None)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["success"]) == (200, True)
    assert RunHandle(body["run_id"]).get(timeout=TIMEOUT)["source"] == "s3://bucket/input.csv"
    bodiless = {**event, "requestContext": {}, "body": "{}"}
    assert guide.api_handler(bodiless, None)["statusCode"] == 200
    nameless = {"pathParameters": {}, "queryStringParameters": {}}
    assert guide.api_handler(nameless, None)["statusCode"] == 500


def test_the_status_handler_answers_what_became_of_a_run(launcher: DagLauncher) -> None:
    result = guide.named_workload_profile(launcher)
    value_of(result)
    answer = guide.get_run_handler({"pathParameters": {"runId": result.run_id}}, None)
    status = json.loads(answer["body"])
    assert answer["statusCode"] == 200
    expected = (result.run_id, "train_model", "SUCCEEDED", None)
    assert (status["run_id"], status["flow_name"], status["status"], status["error_message"]) == expected
    assert status["started_at"] < status["completed_at"]


def test_the_status_handler_answers_404_for_a_run_that_there_is_not() -> None:
    answer = guide.get_run_handler({"pathParameters": {"runId": "no-such-run"}}, None)
    assert answer == {"statusCode": 404, "body": '{"error": "Run not found"}'}


def test_the_input_of_a_schedule_is_a_launch(launcher: DagLauncher) -> None:
    event = json.loads(guide.SCHEDULED_INPUT)
    assert event.pop("action") == "launch"
    assert value_of(launcher.launch(**event)).keys() == {"DAGY_CORRELATION_ID"}


def test_execution_profiles_are_fields_by_name(launcher: DagLauncher) -> None:
    by_hand = guide.launch_using_a_profile(launcher)
    named = DagLauncher(profiles=guide.EXECUTION_PROFILES).launch(
        org_id=ORG, environment="production", profile="etl_pipeline:large_dataset"
    )
    for result in (by_hand, named):
        value_of(result)
        task = task_of(result)
        assert (task["cpu"], task["memory"]) == ("4096", "8192")


def test_each_environment_has_its_own_network_and_size() -> None:
    sizes = {"develop": "256", "staging": "1024", "production": "2048"}
    results = {name: guide.launch_for_environment("etl_pipeline", name) for name in sizes}
    configured = DagLauncher(environments=guide.ENVIRONMENT_CONFIG)
    also = {name: configured.launch(flow_name="etl_pipeline", org_id=ORG, environment=name) for name in sizes}
    for name, cpu in sizes.items():
        for result in (results[name], also[name]):
            value_of(result)
            task = task_of(result)
            assert task["cpu"] == cpu
            assert subnet_of(task) in guide.ENVIRONMENT_CONFIG[name]["subnets"]


def test_an_override_customizes_one_launch() -> None:
    result = guide.launch_for_environment("etl_pipeline", "develop", workload_profile="medium")
    value_of(result)
    assert task_of(result)["cpu"] == "1024"


def test_parameters_are_variables_in_the_container(launcher: DagLauncher) -> None:
    value = value_of(guide.parameter_templating(launcher, "production"))
    assert (value["OUTPUT_BUCKET"], value["TEMP_BUCKET"]) == (
        "s3://dagy-outputs-production",
        "s3://dagy-temp-production",
    )


def test_secrets_are_injected_by_ecs_and_stay_out_of_the_task_definition(launcher: DagLauncher) -> None:
    secrets = boto3.client("secretsmanager")
    created = {
        "DB_PASSWORD": secrets.create_secret(Name="prod/db-password", SecretString="my-secure-password")["ARN"],
        "API_KEY": secrets.create_secret(Name="prod/api-key", SecretString="sk-1234567890")["ARN"],
    }

    class WithCreated:
        """Puts the ARNs of the created secrets in place of the guide's, whose account is another."""

        def launch(self, *, secrets_env: dict[str, str], **fields: Any) -> DagLaunchResult:
            assert parse_request({"secrets_env": secrets_env, **fields})
            assert all(
                created[name].partition(":secret:")[2].startswith(arn.partition(":secret:")[2])
                for name, arn in secrets_env.items()
            )
            return launcher.launch(secrets_env={name: created[name] for name in secrets_env}, **fields)

    result = guide.with_secrets(WithCreated())
    assert value_of(result) == {"DB_PASSWORD": "my-secure-password", "API_KEY": "sk-1234567890"}
    task = task_of(result)
    definition = boto3.client("ecs").describe_task_definition(taskDefinition=task["taskDefinitionArn"])
    assert "sk-1234567890" not in str([definition, task])
    assert created["API_KEY"] in str(definition)


def test_the_record_of_a_run_can_be_read(launcher: DagLauncher, capsys: pytest.CaptureFixture[str]) -> None:
    result = guide.named_workload_profile(launcher)
    value_of(result)

    def printed() -> bool:
        with contextlib.suppress(RunModel.DoesNotExist):
            guide.track(result.run_id)
        return capsys.readouterr().out.startswith("Status: SUCCEEDED\nStarted: 20")

    eventually(printed, "the record says that the run succeeded")


def test_the_guides_own_flow_is_built_registered_and_launched(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "etl_pipeline.py").write_text(guide.ETL_PIPELINE)
    assert dagy(shlex.split(guide.BUILD)[1:]) == 0
    with ZipFile("artifact.zip") as archive:
        archive.extractall("artifact")
    with LocalStack() as own, environ(own.environment):
        bind_models(own.settings())
        try:
            s3 = boto3.client("s3")
            s3.create_bucket(Bucket=BUCKET)
            s3.upload_file("artifact.zip", BUCKET, "flows/etl_pipeline/1.0.0/artifact.zip")
            s3.put_object(Bucket=BUCKET, Key="pandas.zip", Body=zipped({"pandas.py": PANDAS}))
            guide.register_flow()
            DepPackageModel(slug="pandas", package_s3_uri=f"s3://{BUCKET}/pandas.zip", org_id=ORG, version="1").save()
            DeploymentModel(deployment_name="analysis", dep_package_slugs=["pandas"]).save()
            launcher = DagLauncher(own.settings(), mode="direct")
            without_parameters = ended(launcher, guide.launch_registered(launcher).run_id)
            with_parameters = launcher.launch(
                flow_name="etl_pipeline",
                org_id=ORG,
                deployment_name="analysis",
                parameters={"source": "s3://bucket/input.csv", "destination": "s3://bucket/output"},
            )
            assert without_parameters["status"] == "FAILED"
            assert "missing" in without_parameters["error_message"]
            assert ended(launcher, with_parameters.run_id)["status"] == "SUCCEEDED"
        finally:
            bind_models(stack.settings())
