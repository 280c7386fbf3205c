"""The whole stack as one object: what is in it, and that a task's life comes out of it as events."""

import contextlib
import json
import os
import sys
from contextlib import ExitStack

import boto3
import pytest
from botocore.exceptions import ClientError

from dagy_queue.errors import LocalStackError
from dagy_queue.local.environment import process_environment
from dagy_queue.local.provision import provision
from dagy_queue.local.redis_server import answers
from dagy_queue.local.stack import LocalStack


@pytest.fixture(scope="module")
def stack():
    with LocalStack(simulate=True) as running:
        yield running


@pytest.fixture
def aws(stack):
    made = []

    def client(service):
        session = boto3.session.Session("local", "local", region_name="us-east-1")
        made.append(session.client(service, endpoint_url=stack.endpoint_url))
        return made[-1]

    yield client
    for one in made:
        one.close()


def run_task(ecs, stack, container=None, **request):
    ecs.register_task_definition(
        family="job",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=stack.environment["DAGY_ECS_EXECUTION_ROLE_ARN"],
        containerDefinitions=[{"name": "worker", "image": "dagy-worker:local", **(container or {})}],
    )
    network = {"awsvpcConfiguration": {"subnets": [stack.environment["DAGY_ECS_SUBNETS"]]}}
    return ecs.run_task(
        cluster="dagy", taskDefinition="job", launchType="FARGATE", networkConfiguration=network, **request
    )["tasks"][0]


def events_of(sqs, stack):
    """Return the details of the events that come, up to a task's end."""
    url = stack.provisioned.queue_url
    found = []
    while not found or found[-1]["lastStatus"] != "STOPPED":
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]:
            found.append(json.loads(message["Body"])["detail"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_task_of_ours_sends_its_whole_life_to_the_event_queue(stack, aws):
    run_task(aws("ecs"), stack, startedBy="someone-else")
    task = run_task(aws("ecs"), stack, startedBy="dagy/run-1/0")
    found = events_of(aws("sqs"), stack)
    assert {one["taskArn"] for one in found} == {task["taskArn"]}
    assert found[0]["lastStatus"] == "PROVISIONING"
    assert "undelivered" not in stack.stats()["events"]


def test_provisioning_again_changes_nothing(stack):
    assert provision(stack.endpoint_url, stack.redis_url) == stack.provisioned


def test_the_event_queue_is_as_production_has_it(stack, aws):
    made = stack.provisioned
    attributes = aws("sqs").get_queue_attributes(QueueUrl=made.queue_url, AttributeNames=["All"])["Attributes"]
    assert json.loads(attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": made.dead_letter_arn,
        "maxReceiveCount": 10,
    }
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": made.rule_arn}}
    [target] = aws("events").list_targets_by_rule(Rule="dagy-task-state-change")["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": made.dead_letter_arn}


def test_settings_come_from_the_environment_of_the_stack(stack):
    settings = stack.settings(bridge={"wait_seconds": 1})
    assert settings.redis.url == stack.redis_url
    assert settings.ecs.cluster == "arn:aws:ecs:us-east-1:000000000000:cluster/dagy"
    assert settings.bridge.queue_url == stack.provisioned.queue_url
    assert settings.bridge.wait_seconds == 1
    assert settings.storage.artifact_bucket == "dagy-artifacts"


def test_a_profile_of_the_callers_that_there_is_not_does_not_matter(stack, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    assert provision(stack.endpoint_url, stack.redis_url) == stack.provisioned
    assert os.environ["AWS_PROFILE"] == "nowhere"


def test_a_configuration_of_the_callers_that_cannot_be_read_does_not_matter(stack, monkeypatch, tmp_path):
    broken = tmp_path / "config"
    broken.write_text("this is [broken\n")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(broken))
    assert provision(stack.endpoint_url, stack.redis_url) == stack.provisioned


def test_provisioning_leaves_this_process_as_it_was(stack):
    before = dict(os.environ)
    provision(stack.endpoint_url, stack.redis_url)
    assert dict(os.environ) == before


def test_children_never_see_the_callers_own_aws_or_redis(stack):
    base = {
        "AWS_PROFILE": "production",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_ENDPOINT_URL_SQS": "https://sqs.example.com",
        "DAGY_QUEUE__REDIS__URL": "redis://production/0",
        "DAGY_QUEUE__DISPATCH__CONCURRENCY": "3",
        "HOME": "/home/me",
    }
    found = process_environment(stack.environment, base)
    assert found == {**stack.environment, "DAGY_QUEUE__DISPATCH__CONCURRENCY": "3", "HOME": "/home/me"}


def test_ecs_faults_are_injected_through_the_stack(stack, aws):
    stack.admin("limits", {"run_task_calls": {"per_second": 0.001, "burst": 0}})
    with pytest.raises(ClientError, match="ThrottlingException"):
        run_task(aws("ecs"), stack)
    stack.admin("limits", {"preset": "none"})
    run_task(aws("ecs"), stack)
    with pytest.raises(LocalStackError, match="UnknownOperationException"):
        stack.admin("nonsense")


CONTAINER = """
import json, os, urllib.request
import boto3
with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task") as answer:
    print("I am", json.load(answer)["TaskARN"])
boto3.client("s3").put_object(Bucket="dagy-artifacts", Key="from-container", Body=os.environ["PASSWORD"].encode())
"""


def test_a_container_reaches_s3_its_secret_its_log_and_its_metadata():
    session = boto3.session.Session("local", "local", region_name="us-east-1")
    with LocalStack() as stack, ExitStack() as closing:

        def client(service):
            return closing.enter_context(contextlib.closing(session.client(service, endpoint_url=stack.endpoint_url)))

        secret = client("secretsmanager").create_secret(Name="db", SecretString='{"password": "s3cret"}')["ARN"]
        log_options = {
            "awslogs-group": stack.provisioned.log_group,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "dagy",
        }
        task = run_task(
            client("ecs"),
            stack,
            startedBy="dagy/run/0",
            container={
                "image": "python:3.11",
                "command": [sys.executable, "-c", CONTAINER],
                "secrets": [{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}],
                "logConfiguration": {"logDriver": "awslogs", "options": log_options},
            },
        )
        *_, stopped = events_of(client("sqs"), stack)
        assert stopped["containers"][0]["exitCode"] == 0, stopped
        stored = client("s3").get_object(Bucket="dagy-artifacts", Key="from-container")["Body"].read()
        assert stored == b"s3cret"
        stream = f"dagy/worker/{task['taskArn'].rsplit('/', 1)[1]}"
        lines = client("logs").get_log_events(logGroupName=stack.provisioned.log_group, logStreamName=stream)["events"]
        assert [line["message"] for line in lines] == [f"I am {task['taskArn']}"]


def test_everything_is_stopped_at_the_end(tmp_path):
    with LocalStack(simulate=True, data_dir=tmp_path) as stack:
        children = stack.foundation
    assert all(child.poll() is not None for child in children)
    assert not answers(f"redis://127.0.0.1:{stack.redis.port}/0")
    assert (tmp_path / "logs" / "aws.log").exists()


def test_a_stack_can_use_a_redis_that_runs_already(stack):
    with LocalStack(simulate=True, redis_url=stack.redis_url) as other:
        assert other.environment["DAGY_REDIS_URL"] == stack.redis_url
        assert len(other.foundation) == 1
    assert answers(stack.redis_url)


def test_a_missing_extra_is_named_with_its_install_command(monkeypatch):
    monkeypatch.setattr("dagy_queue.local.aws_server.NEEDED", ("moto", "not_there"))
    with pytest.raises(LocalStackError, match=r"needs not_there: pip install 'dagy-queue\[local\]'"), LocalStack():
        pass
