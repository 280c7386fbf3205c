"""The whole stack as one object: what is in it, and that a task's life comes out of it as events."""

import json
import os

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


def run_simulated_task(aws, stack, **request):
    ecs = aws("ecs")
    ecs.register_task_definition(
        family="job",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=stack.environment["DAGY_ECS_EXECUTION_ROLE_ARN"],
        containerDefinitions=[{"name": "worker", "image": "dagy-worker:local"}],
    )
    network = {"awsvpcConfiguration": {"subnets": [stack.environment["DAGY_ECS_SUBNETS"]]}}
    return ecs.run_task(
        cluster="dagy", taskDefinition="job", launchType="FARGATE", networkConfiguration=network, **request
    )["tasks"][0]


def test_a_task_of_ours_sends_its_whole_life_to_the_event_queue(stack, aws):
    sqs = aws("sqs")
    run_simulated_task(aws, stack, startedBy="someone-else")
    task = run_simulated_task(aws, stack, startedBy="dagy/run-1/0")
    statuses = []
    while not statuses or statuses[-1] != "STOPPED":
        answer = sqs.receive_message(QueueUrl=stack.provisioned.queue_url, WaitTimeSeconds=10)
        for message in answer["Messages"]:
            event = json.loads(message["Body"])
            assert event["detail"]["taskArn"] == task["taskArn"]
            assert event["source"] == "aws.ecs"
            statuses.append(event["detail"]["lastStatus"])
            sqs.delete_message(QueueUrl=stack.provisioned.queue_url, ReceiptHandle=message["ReceiptHandle"])
    assert statuses[0] == "PROVISIONING"
    assert stack.stats()["events"]["delivered"] >= len(statuses)
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


def test_provisioning_leaves_this_process_as_it_was(stack):
    before = dict(os.environ)
    provision(stack.endpoint_url, stack.redis_url)
    assert dict(os.environ) == before


def test_children_never_see_the_callers_own_aws_or_redis(stack):
    base = {
        "AWS_PROFILE": "production",
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
        run_simulated_task(aws, stack)
    stack.admin("limits", {"preset": "none"})
    run_simulated_task(aws, stack)
    with pytest.raises(LocalStackError, match="UnknownOperationException"):
        stack.admin("nonsense")


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
