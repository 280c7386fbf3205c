from __future__ import annotations

import pytest

from dagy_queue.outcomes import Kind, classify_stop
from dagy_queue.outcomes.causes import Cause, cause_of
from dagy_queue.outcomes.start_causes import START_CAUSES
from dagy_queue.outcomes.stop_causes import STOP_CAUSES
from dagy_queue.outcomes.stopped_task import StoppedTask

PULL = "CannotPullContainerError: pull image manifest has been retried 7 time(s): "
SECRETS = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable "
    "to retrieve secret from asm: service call has been retried 1 time(s): "
)
DENIED = SECRETS + "AccessDeniedException: User: arn:aws:sts::1:assumed-role/x is not authorized to perform: "
LOGS = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
EFS = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: "
ENI = "Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-1': "

PASSING = [
    (
        PULL + "httpReaderSeeker: unexpected status code Too Many Requests - Server message: toomanyrequests: You have "
        "reached your pull rate limit",
        "limited the rate",
    ),
    (PULL + "failed to resolve ref: dial tcp 34.205.13.154:443: i/o timeout", "could not be reached"),
    (PULL + "net/http: request canceled while waiting for connection", "could not be reached"),
    (PULL + "context canceled", "could not be reached"),
    (PULL + "failed to resolve ref docker.io/acme/etl:403: dial tcp: i/o timeout", "could not be reached"),
    (PULL + "failed to resolve ref docker.io/acme/etl:404: connection reset by peer", "could not be reached"),
    (
        "CannotPullContainerError: API error (500): Get https://1.dkr.ecr.us-east-1.amazonaws.com/v2/",
        "could not be reached",
    ),
    ("RESOURCE:ENI", "no room"),
    (PULL + "unexpected EOF", "could not be reached"),
    (PULL + "unexpected status from HEAD request: 503 Service Unavailable", "could not be reached"),
    (
        "CannotPullContainerError: There is a connection issue between the task and Amazon ECR. Check it.",
        "could not be reached",
    ),
    ("Timeout waiting for network interface provisioning to complete.", "network interface ready"),
    ("Network interface provision complete error timeout wait for network interface provision.", "network interface"),
    ("Timeout waiting for EphemeralStorage provisioning to complete", "storage ready"),
    ("Rate limit exceeded while preparing network interface to be attached to instance", "at once"),
    (ENI + "InsufficientFreeAddressesInSubnet", "no free addresses"),
    (ENI + "AuthFailure", "EC2 failed"),
    ("Unexpected EC2 error while attempting to attach network interface to instance", "EC2 failed"),
    ("Capacity is unavailable at this time. Please try again later or in a different availability zone", "no room"),
    (SECRETS + "RequestCanceled: request context canceled caused by: context deadline exceeded", "could not reach"),
    (SECRETS + "There is a connection issue between the task and AWS Secrets Manager.", "could not reach"),
    (LOGS + "RequestError: send request failed: dial tcp: i/o timeout", "CloudWatch Logs"),
    ("ResourceInitializationError: failed to validate logger args: : signal: killed", "CloudWatch Logs"),
    (EFS + "Connection timed out", "reach its EFS"),
    (
        "ResourceInitializationError: failed to configure ENI: failed to setup regular eni: netplugin failed",
        "set up the task's network interface",
    ),
    ("ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m", "runtime failed"),
    ("DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s", "runtime failed"),
    ("ContainerRuntimeError: failed to create container", "runtime failed"),
    ("CannotInspectContainerError: could not inspect", "lost sight"),
    ("InternalError: unexpected", "failed inside"),
    ("ResourceInitializationError: failed to set up the task: context deadline exceeded", "in time"),
    ("CannotStartContainerError: failed to create shim task: context deadline exceeded", "started in time"),
    ("CannotCreateVolumeError: timed out", "ready in time"),
]
LASTING = [
    (PULL + "failed to resolve ref docker.io/library/nope:1: not found", "no such image"),
    (PULL + "manifest unknown: manifest unknown", "no such image"),
    ("CannotPullContainerError: The task can't pull the image. Check whether the image exists.", "no such image"),
    (PULL + "pull access denied, repository does not exist or may require 'docker login'", "let the task pull"),
    (PULL + "unexpected status code 403 Forbidden", "let the task pull"),
    (
        "CannotPullContainerError: The task can't pull the image. Check that the role has the permissions to pull it.",
        "let the task pull",
    ),
    (PULL + "no basic auth credentials", "let the task pull"),
    ("CannotPullContainerError: API error (404): repository nope not found", "no such image"),
    (PULL + "x509: certificate signed by unknown authority", "could not be pulled"),
    (
        DENIED + "secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "not read a secret",
    ),
    (DENIED + "ecr:GetAuthorizationToken on resource: *", "log in to the registry"),
    (PULL + "write /var/lib/x: no space left on device", "does not fit"),
    (
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
        "processor",
    ),
    ("CannotPullContainerError: ref pull has been retried", "could not be pulled"),
    (ENI + "InvalidSubnetID.NotFound", "EC2 refused"),
    ("Unexpected EC2 error while attempting to tag the network interface: TagPolicyViolation", "EC2 refused"),
    (
        SECRETS + "AccessDeniedException: User is not authorized to perform: secretsmanager:GetSecretValue",
        "not read a secret",
    ),
    (SECRETS + "ResourceNotFoundException: Secrets Manager can't find the specified secret.", "does not exist"),
    (SECRETS + "retrieved secret from Secrets Manager did not contain json key password", "no such key"),
    ("ResourceInitializationError: unable to pull secrets", "a secret of the task"),
    (
        LOGS
        + "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
        "log group does not exist",
    ),
    (LOGS + "AccessDeniedException: not authorized to perform: logs:CreateLogStream", "may not write"),
    (EFS + "mount.nfs4: access denied by server while mounting", "may not mount"),
    (
        EFS + "mount.nfs4: mounting fs-1 failed, reason given by server: No such file or directory",
        "could not be mounted",
    ),
    (
        "ResourceInitializationError: failed to download env files: file download command: non empty error stream",
        "environment files",
    ),
    ("ResourceInitializationError: something new", "set up what the task needs"),
    ('CannotStartContainerError: exec: "x": executable file not found in $PATH', "no such program"),
    ("CannotStartContainerError: exec /app: exec format error", "another processor"),
    ("CannotStartContainerError: exec /app: permission denied", "may not be executed"),
    ("CannotStartContainerError: failed to initialize logging driver: x", "log could not be opened"),
    ("CannotStartContainerError: failed to get container status: x", "could not be started"),
    ("CannotCreateVolumeError: no such plugin", "could not be made"),
    ("CannotStartContainerError: cannot allocate memory", "too little memory"),
    ("CannotPullContainerError: invalid reference format", "name is not one"),
]


@pytest.mark.parametrize(
    ("said", "words", "passes"), [*((*row, True) for row in PASSING), *((*row, False) for row in LASTING)]
)
def test_a_reason_why_a_task_did_not_start_is_diagnosed(said: str, words: str, passes: bool) -> None:
    outcome = classify_stop(StoppedTask(task_arn="arn", stop_code="TaskFailedToStart", stopped_reason=said), "worker")
    assert (outcome.kind, outcome.transient) == (Kind.START_FAILED, passes)
    assert outcome.summary.startswith("the container never ran: ")
    assert words in outcome.summary
    assert outcome.detail == said
    assert outcome.resolution


def test_a_reason_that_nobody_knows_is_passed_on_and_not_taken_for_a_passing_one() -> None:
    task = StoppedTask(task_arn="arn", stop_code="TaskFailedToStart", stopped_reason="the moon is full")
    outcome = classify_stop(task, "worker")
    assert (outcome.summary, outcome.transient) == ("the container never ran: the moon is full", False)


@pytest.mark.parametrize("causes", [START_CAUSES, STOP_CAUSES], ids=["start", "stop"])
def test_every_row_has_words_of_its_own(causes: tuple[Cause, ...]) -> None:
    assert len({cause.pattern.pattern for cause in causes}) == len(causes)
    for cause in causes:
        assert cause.summary
        assert cause.resolution
        assert not cause.summary.endswith(".")
        assert not cause.resolution.endswith(".")


def test_every_row_of_the_starts_is_reached_by_some_reason() -> None:
    reached = {cause_of(said, START_CAUSES) for said, _ in (*PASSING, *LASTING)}
    assert [cause.summary for cause in START_CAUSES if cause not in reached] == []
