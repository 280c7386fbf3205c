"""Why a task did not start, by the words of ECS; a table, pure. ``classify.py`` looks reasons up in it.

Wording: ECS developer guide, "Stopped tasks error messages" and the pages on each error, and issues of users. Transient
is what passes by itself: a timeout, a rate, an address that is free a minute later. What names a thing that is missing
or not allowed is not, and neither is what nobody knows.
"""

from __future__ import annotations

from dagy_queue.outcomes.causes import Cause, passing_start_failure, start_failure
from dagy_queue.outcomes.pull_causes import PULL_CAUSES

_DENIED = r"(access ?denied|not authorized|unauthorized|forbidden|is not allowed)"
_MISSING = (
    r"(ResourceNotFound|ParameterNotFound|InvalidParameters|NoSuchKey|NoSuchBucket|can't find|does not exist|not found)"
)
_OUT_OF_REACH = (
    r"(connection issue|timed? ?out|timeout|deadline exceeded|request ?cancell?ed|context cancell?ed|i/o timeout"
    r"|connection (refused|reset)|no such host|TLS handshake|signal: killed|throttl|rate exceeded|too many requests"
    r"|internal ?(server ?)?error|service unavailable|status ?code:? ?50[0-4])"
)
_ROUTE = "a NAT gateway, assign_public_ip in a public subnet, or a VPC endpoint; and DNS in the VPC"
_INIT = "(?s)ResourceInitializationError.*"
_LOGS = rf"{_INIT}(logger args|logging driver|log ?stream|log ?group|CloudWatch).*"
_ENV_FILES = rf"{_INIT}(env(ironment)? files?).*"
_EFS = rf"{_INIT}(\bEFS\b|mount\.nfs|volume).*"
_SECRETS = rf"{_INIT}(secret|registry auth|ssm|asm|parameter).*"
_EC2 = "(?s)Unexpected EC2 error while attempting to.*"

_NETWORK_CAUSES = (
    passing_start_failure(
        "(Timeout|timed? ?out).*(network interface|\\bENI\\b)|network interface provision.*(timeout|error)",
        "ECS did not get a network interface ready in time",
        "usually it passes; if not, check the subnet's free addresses and the account's limit of network interfaces",
    ),
    passing_start_failure(
        "(Timeout|timed? ?out).*Ephemeral ?Storage",
        "ECS did not get the task's storage ready in time",
        "usually it passes; if not, ask for less ephemeral_storage_gib or another subnet",
    ),
    passing_start_failure(
        "Rate limit exceeded while preparing (a )?network interface",
        "too many tasks got their network interfaces at once",
        "usually it passes; if not, lower DAGY_QUEUE__LIMITS__LAUNCH_RATE",
    ),
    passing_start_failure(
        "InsufficientFreeAddressesInSubnet|(free|available|enough) (IP )?addresses",
        "the subnet has no free addresses",
        "name more or larger subnets, or lower DAGY_QUEUE__LIMITS__MAX_TASKS: every task takes an address",
    ),
    start_failure(
        rf"{_EC2}(TagPolicyViolation|NotFound|InvalidParameter|UnauthorizedOperation|not authorized)",
        "EC2 refused to make the task's network interface",
        "check that the subnets and security groups exist and belong to one VPC, and which tags policies ask for",
    ),
    passing_start_failure(
        _EC2,
        "EC2 failed to make the task's network interface",
        "usually it passes; if not, check the subnets and security groups, and the limit of network interfaces",
    ),
    passing_start_failure(
        r"Capacity is unavailable|reached the limit on the number of|\bRESOURCE:(CPU|MEMORY|PORTS|ENI|GPU)",
        "AWS had no room for the task",
        "usually it passes; if not, name subnets of other availability zones, or ask for a higher vCPU quota",
    ),
)

_RESOURCE_CAUSES = (
    passing_start_failure(
        rf"{_INIT}(configure ENI|\bENI\b|netplugin|network namespace)",
        "ECS could not set up the task's network interface",
        "usually it passes; if not, check the subnet and the DHCP options of its VPC",
    ),
    start_failure(
        rf"{_LOGS}({_DENIED})",
        "the execution role may not write the container's log",
        "allow the execution role logs:CreateLogStream and logs:PutLogEvents (and logs:CreateLogGroup, if it is to)",
    ),
    start_failure(
        rf"{_LOGS}({_MISSING})",
        "the container's log group does not exist",
        "create the log group that the detail names, or name another with log_group",
    ),
    passing_start_failure(
        rf"{_LOGS}({_OUT_OF_REACH})",
        "the task could not reach CloudWatch Logs",
        f"if it happens each time, give it a way there: {_ROUTE}",
    ),
    start_failure(
        rf"{_ENV_FILES}",
        "the container's environment files could not be read",
        "check that the objects exist, and that the execution role may read them (s3:GetObject, s3:GetBucketLocation)",
    ),
    start_failure(
        rf"{_EFS}({_DENIED}|access denied by server)",
        "the task may not mount its EFS file system",
        "check the file system's policy and access point, and that the task role may elasticfilesystem:ClientMount",
    ),
    passing_start_failure(
        rf"{_EFS}({_OUT_OF_REACH})",
        "the task could not reach its EFS file system",
        "if it happens each time, check that it has a mount target in the task's zone and lets port 2049 in",
    ),
    start_failure(
        rf"{_EFS}",
        "the task's EFS file system could not be mounted",
        "check its id, its directory or access point, and that it has a mount target in the task's zone",
    ),
    start_failure(
        rf"{_INIT}(not authorized to perform: ecr:)",
        "the execution role may not log in to the registry",
        "allow the execution role ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer",
    ),
    start_failure(
        rf"{_SECRETS}({_DENIED})",
        "the execution role may not read a secret of the task",
        "allow the execution role secretsmanager:GetSecretValue or ssm:GetParameters on the secret, and kms:Decrypt on "
        "its key",
    ),
    start_failure(
        rf"{_SECRETS}({_MISSING}|json key|invalid character)",
        "a secret of the task does not exist, or has no such key",
        "check the secret's ARN in secrets_env (with the six characters at its end), its JSON key and its version",
    ),
    passing_start_failure(
        rf"{_SECRETS}({_OUT_OF_REACH})",
        "the task could not reach Secrets Manager, SSM or the registry",
        f"if it happens each time, give it a way there: {_ROUTE}",
    ),
    start_failure(
        rf"{_SECRETS}",
        "a secret of the task, or the registry's login, could not be read",
        "check the secret's ARN, that the execution role may read it, and that the task can reach Secrets Manager",
    ),
    passing_start_failure(
        rf"{_INIT}({_OUT_OF_REACH})",
        "ECS could not set up what the task needs in time",
        f"if it happens each time, give the task a way to AWS: {_ROUTE}",
    ),
    start_failure(
        "ResourceInitializationError",
        "ECS could not set up what the task needs",
        "look at what the detail names: roles, secrets, log group, volumes and the way to AWS",
    ),
)

_CONTAINER_CAUSES = (
    start_failure(
        "(?s)executable file not found|CannotStartContainerError.*no such file or directory",
        "the image has no such program",
        "check the command: the image has no such program, or not on its PATH",
    ),
    start_failure(
        "exec format error",
        "the image's program is made for another processor",
        "build the image for the platform of the task definition (runtimePlatform: X86_64 or ARM64)",
    ),
    start_failure(
        "(?s)CannotStartContainerError.*permission denied",
        "the image's program may not be executed",
        "check the command, and that the file is executable for the container's user",
    ),
    start_failure(
        "(?s)CannotStartContainerError.*(logging driver|log ?group|log ?stream)",
        "the container's log could not be opened",
        "check the log group, its region, and that the execution role may write it",
    ),
    start_failure(
        "(?s)CannotStartContainerError.*(OutOfMemory|memory limit|cannot allocate memory)",
        "the container has too little memory to start",
        "choose more memory for the run",
    ),
    passing_start_failure(
        rf"(?s)CannotStartContainerError.*({_OUT_OF_REACH})",
        "the container could not be started in time",
        "usually it passes; if not, look at the command and the size of the task",
    ),
    start_failure(
        "CannotStartContainerError",
        "the container could not be started",
        "check the command, the user and the mounts of the container",
    ),
    passing_start_failure(
        rf"(?s)CannotCreateVolumeError.*({_OUT_OF_REACH})",
        "a volume of the task was not ready in time",
        "usually it passes; if not, check the volumes of the task definition",
    ),
    start_failure(
        "CannotCreateVolumeError",
        "a volume of the task could not be made",
        "check the volumes of the task definition",
    ),
    passing_start_failure(
        "CannotInspectContainerError|CannotStopContainerError",
        "ECS lost sight of the container on its host",
        "usually it passes; if not, ask AWS: the fault is its host's",
    ),
    passing_start_failure(
        "ContainerRuntimeTimeoutError|DockerTimeoutError|ContainerRuntimeError",
        "the host's container runtime failed",
        "usually it passes; if not, ask for a larger task or a smaller image",
    ),
    passing_start_failure(
        "InternalError|Internal ?Server ?Error|Task failed to provision",
        "ECS failed inside",
        "usually it passes; if not, ask AWS with the task's ARN",
    ),
)

START_CAUSES: tuple[Cause, ...] = (*PULL_CAUSES, *_NETWORK_CAUSES, *_RESOURCE_CAUSES, *_CONTAINER_CAUSES)
