"""A dispatcher that could not work does not start, and says why: the real process on the real stack."""

from __future__ import annotations

from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from tests.integration.waiting import eventually


def exit_code(child: Child) -> int | None:
    eventually(lambda: child.poll() is not None, f"{child.name} has ended")
    return child.poll()


def test_a_dispatcher_without_its_cluster_ends_with_a_message(stack: LocalStack) -> None:
    wrong = stack.provisioned.cluster_arn.replace("cluster/dagy", "cluster/nowhere")
    environment = {"DAGY_ECS_CLUSTER_ARN": wrong, "DAGY_QUEUE__ECS__TASK_DEFINITION_TEMPLATE": "no-such-file.json"}
    child = stack.spawn("dispatcher", label="unhealthy", environment=environment)
    assert exit_code(child) == 1
    said = child.log.read_text()
    stack.end("unhealthy")
    assert "dagy-queue: the dispatcher cannot start, its health check found:" in said
    assert f"error: cluster {wrong} does not exist in region us-east-1; correct DAGY_ECS_CLUSTER_ARN" in said
    assert "error: task_definition_template = 'no-such-file.json'" in said
    assert "Traceback" not in said


def test_an_unhealthy_dispatcher_starts_if_it_shall_not_be_checked(stack: LocalStack) -> None:
    environment = {
        "DAGY_ECS_CLUSTER_ARN": "nowhere",
        "DAGY_QUEUE__DISPATCH__CHECK_HEALTH_ON_STARTUP": "false",
        "DAGY_QUEUE__REDIS__PREFIX": "unchecked",  # It must not take the other tests' runs.
        "DAGY_REDIS_URL": stack.redis_url.rpartition("/")[0] + "/9",
    }
    child = stack.spawn("dispatcher", label="unchecked", environment=environment)
    eventually(lambda: "ready" in child.log.read_text(), "the dispatcher is ready")
    stack.end("unchecked")
