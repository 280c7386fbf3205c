"""Where a run's task and log can be looked at: pages of AWS's consoles, or commands for a local AWS; pure.

``operate/flower/tasks.py`` shows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

_TASK = re.compile(r"arn:(?P<partition>[a-z-]+):ecs:(?P<region>[a-z0-9-]+):\d*:task/(?P<cluster>[^/]+)/(?P<task>[^/]+)")
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""The consoles of AWS's partitions; the others have none that can be reached from outside."""


def places_of(task_arn: str, log: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return where to look at a task and at its log (group and stream, with a space between), by what each is.

    ``environment`` tells whether AWS has an endpoint of its own.
    """
    found = _TASK.fullmatch(task_arn)
    if not found:
        return {}
    endpoint = environment.get("AWS_ENDPOINT_URL_ECS") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        return _commands(endpoint, found, log)
    domain = _CONSOLES.get(found["partition"])
    if not domain:
        return {}
    region, console = found["region"], f"https://{found['region']}.{domain}"
    task = f"{console}/ecs/v2/clusters/{found['cluster']}/tasks/{found['task']}/configuration?region={region}"
    group, _, stream = log.partition(" ")
    page = f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group"
    links = {"ECS console": task}
    return links | ({"log": f"{page}/{_quoted(group)}/log-events/{_quoted(stream)}"} if stream else {})


def _commands(endpoint: str, task: re.Match[str], log: str) -> dict[str, str]:
    aws = f"aws --endpoint-url {endpoint}"
    group, _, stream = log.partition(" ")
    found = {"ECS": f"{aws} ecs describe-tasks --cluster {task['cluster']} --tasks {task['task']}"}
    if stream:
        options = f"--log-group-name {group} --log-stream-name {stream} --query events[].message --output text"
        found["log"] = f"{aws} logs get-log-events {options}"
    return found


def _quoted(name: str) -> str:
    """Return a name as CloudWatch's pages want it behind the ``#``: quoted twice, with ``$`` for the second ``%``."""
    return quote(quote(name, safe=""), safe="").replace("%", "$")
