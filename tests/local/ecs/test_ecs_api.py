"""The operations, as boto3 sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from ecs_kit import NETWORK, SERVICE, SPOT, Kit, as_parsed, definition, run_request, simulated

OPERATIONS = {
    "CreateCluster",
    "DescribeClusters",
    "ListClusters",
    "DeleteCluster",
    "RegisterTaskDefinition",
    "DeregisterTaskDefinition",
    "DescribeTaskDefinition",
    "ListTaskDefinitions",
    "ListTaskDefinitionFamilies",
    "RunTask",
    "StopTask",
    "DescribeTasks",
    "ListTasks",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
}
FOREVER = {"containerOverrides": [{"name": "worker", "environment": [{"name": "STUB_SECONDS", "value": "600"}]}]}
REALM = "arn:aws:ecs:us-east-1:000000000000"


def test_every_operation_is_one_of_the_api() -> None:
    async def test(kit: Kit) -> None:
        assert OPERATIONS <= set(kit.ecs.operations) <= set(SERVICE.operation_names)
        assert (await kit.refusal("CreateService")).code == "UnknownOperationException"

    simulated(test)


def test_boto3_reads_a_task_s_times_as_times() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        arn = (await kit.run())["taskArn"]
        await kit.bus.stopped(arn)
        parsed = as_parsed("DescribeTasks", await kit.call("DescribeTasks", tasks=[arn]))["tasks"][0]
        assert isinstance(parsed["stoppedAt"], datetime)
        assert parsed["containers"][0]["exitCode"] == 0

    simulated(test)


def test_clusters_are_made_found_listed_and_deleted() -> None:
    async def test(kit: Kit) -> None:
        made = await kit.call("CreateCluster", clusterName="blue", tags=[{"key": "a", "value": "b"}])
        assert made["cluster"]["clusterArn"] == f"{REALM}:cluster/blue"
        assert (await kit.call("CreateCluster", clusterName="blue")) == made
        listed = await kit.call("ListClusters", maxResults=1)
        rest = await kit.call("ListClusters", nextToken=listed["nextToken"])
        assert listed["clusterArns"] + rest["clusterArns"] == [f"{REALM}:cluster/default", f"{REALM}:cluster/blue"]
        described = await kit.call("DescribeClusters", clusters=["blue", "red"], include=["TAGS"])
        assert described["clusters"][0]["tags"] == [{"key": "a", "value": "b"}]
        assert described["failures"] == [{"arn": f"{REALM}:cluster/red", "reason": "MISSING"}]
        assert (await kit.call("DeleteCluster", cluster="blue"))["cluster"]["status"] == "INACTIVE"
        assert (await kit.refusal("ListTasks", cluster="blue")).code == "ClusterNotFoundException"

    simulated(test)


def test_a_cluster_counts_its_tasks_and_is_not_deleted_under_them() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run(overrides=FOREVER)
        await kit.bus.status(task["taskArn"], "RUNNING")
        assert (await kit.call("DescribeClusters"))["clusters"][0]["runningTasksCount"] == 1
        assert (await kit.refusal("DeleteCluster", cluster="default")).code == "ClusterContainsTasksException"

    simulated(test)


@pytest.mark.parametrize("operation", ["RunTask", "StopTask", "DescribeTasks", "ListTasks"])
def test_a_cluster_that_is_not_there_is_not_found(operation: str) -> None:
    async def test(kit: Kit) -> None:
        error = await kit.refusal(operation, cluster="nowhere", taskDefinition="x", task="x", tasks=["x"])
        assert (error.code, error.message) == ("ClusterNotFoundException", "Cluster not found.")

    simulated(test)


def test_task_definitions_are_revisions_of_families() -> None:
    async def test(kit: Kit) -> None:
        first, second = await kit.register("flow"), await kit.register("flow")
        await kit.register("other")
        assert (first, second) == (f"{REALM}:task-definition/flow:1", f"{REALM}:task-definition/flow:2")
        for name, arn in (("flow", second), ("flow:1", first), (first, first)):
            found = await kit.call("DescribeTaskDefinition", taskDefinition=name)
            assert found["taskDefinition"]["taskDefinitionArn"] == arn
        listed = await kit.call("ListTaskDefinitions", familyPrefix="flow", sort="DESC")
        assert listed["taskDefinitionArns"] == [second, first]
        assert (await kit.call("ListTaskDefinitionFamilies"))["families"] == ["flow", "other"]
        gone = await kit.call("DeregisterTaskDefinition", taskDefinition=second)
        assert gone["taskDefinition"]["status"] == "INACTIVE"
        assert (await kit.run("flow"))["taskDefinitionArn"] == first
        assert (await kit.call("ListTaskDefinitions", status="INACTIVE"))["taskDefinitionArns"] == [second]
        assert (await kit.call("ListTaskDefinitionFamilies", status="INACTIVE"))["families"] == []

    simulated(test)


def test_a_task_definition_is_told_as_it_was_registered_with_sizes_in_units() -> None:
    async def test(kit: Kit) -> None:
        request = {**definition(), "cpu": "1 vCPU", "memory": "2 GB", "tags": [{"key": "a", "value": "b"}]}
        await kit.call("RegisterTaskDefinition", **request)
        answer = await kit.call("DescribeTaskDefinition", taskDefinition="flow", include=["TAGS"])
        document = answer["taskDefinition"]
        assert (document["cpu"], document["memory"], document["compatibilities"]) == (
            "1024",
            "2048",
            ["EC2", "FARGATE"],
        )
        assert document["containerDefinitions"][0]["essential"] is True
        assert answer["tags"] == [{"key": "a", "value": "b"}]

    simulated(test)


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        ("DescribeTaskDefinition", {"taskDefinition": "no"}, "ClientException", "Unable to describe task definition."),
        ("DeregisterTaskDefinition", {"taskDefinition": "flow"}, "ClientException", "Revision must be specified"),
        ("DeregisterTaskDefinition", {"taskDefinition": "flow:9"}, "ClientException", "does not exist"),
        ("RunTask", run_request("no"), "ClientException", "TaskDefinition not found."),
        ("RunTask", run_request("flow:9"), "ClientException", "TaskDefinition not found."),
        (
            "RunTask",
            {"taskDefinition": "flow", "launchType": "FARGATE"},
            "InvalidParameterException",
            "Network Configuration",
        ),
        ("RunTask", run_request("plain"), "InvalidParameterException", "does not support launch_type FARGATE"),
        (
            "RunTask",
            run_request("flow", placementStrategy=[{"type": "random"}]),
            "InvalidParameterException",
            "not supported with FARGATE",
        ),
        (
            "RunTask",
            run_request("flow", cluster="bare", **SPOT),
            "InvalidParameterException",
            "not associated with the cluster",
        ),
        ("RunTask", run_request("flow", tags=[{"key": "aws:x", "value": ""}]), "InvalidParameterException", "reserved"),
        ("DescribeTasks", {"tasks": []}, "InvalidParameterException", "Tasks cannot be empty."),
        ("DescribeTasks", {"tasks": ["x"] * 101}, "InvalidParameterException", "at most 100"),
        (
            "DescribeTasks",
            {"tasks": [f"{REALM}:task/blue/1"]},
            "InvalidParameterException",
            "Identifier is for blue. Your cluster is default",
        ),
        ("ListTasks", {"startedBy": "x", "family": "y"}, "InvalidParameterException", "only filter"),
        ("ListTasks", {"desiredStatus": "DONE"}, "InvalidParameterException", "desiredStatus"),
        ("ListTasks", {"maxResults": 101}, "InvalidParameterException", "maxResults"),
        ("ListTasks", {"nextToken": "?"}, "InvalidParameterException", "Invalid token"),
        ("CreateCluster", {"clusterName": "no spaces"}, "InvalidParameterException", "Invalid identifier"),
        ("CreateCluster", {"capacityProviders": ["mine"]}, "InvalidParameterException", "was not found"),
        (
            "CreateCluster",
            {"clusterName": "x", "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            "InvalidParameterException",
            "not associated with the cluster",
        ),
        ("TagResource", {"resourceArn": "x"}, "InvalidParameterException", "Invalid ARN"),
        ("TagResource", {"resourceArn": f"{REALM}:task/default/1"}, "ResourceNotFoundException", "not found"),
    ],
)
def test_a_request_is_refused_in_the_words_of_ecs(
    operation: str, request_: dict[str, Any], code: str, message: str
) -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        plain = {"name": "x", "image": "busybox", "memory": 128}
        await kit.call("RegisterTaskDefinition", family="plain", containerDefinitions=[plain])
        await kit.call("CreateCluster", clusterName="bare")
        error = await kit.refusal(operation, **request_)
        assert error.code == code
        assert message in error.message

    simulated(test)


def test_describe_tasks_knows_ids_and_arns_and_says_which_are_missing() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        arn = (await kit.run(tags=[{"key": "a", "value": "b"}]))["taskArn"]
        unknown = "f" * 32
        answer = await kit.call("DescribeTasks", tasks=[arn, arn.rpartition("/")[2], unknown], include=["TAGS"])
        assert [task["taskArn"] for task in answer["tasks"]] == [arn, arn]
        assert answer["tasks"][0]["tags"] == [{"key": "a", "value": "b"}]
        assert answer["failures"] == [{"arn": f"{REALM}:task/default/{unknown}", "reason": "MISSING"}]
        assert (await kit.call("DescribeTasks", tasks=[arn]))["tasks"][0]["tags"] == []

    simulated(test)


def test_list_tasks_filters_and_pages() -> None:
    async def test(kit: Kit) -> None:
        await kit.register("flow")
        await kit.register("other")
        flows = [(await kit.run(overrides=FOREVER, startedBy=f"dagy/{n}"))["taskArn"] for n in range(5)]
        other = (await kit.run("other"))["taskArn"]
        await kit.bus.stopped(other)
        pages, token = [], None
        while True:
            answer = await kit.call("ListTasks", maxResults=2, **({"nextToken": token} if token else {}))
            pages.append(answer["taskArns"])
            token = answer.get("nextToken")
            if token is None:
                break
        assert pages == [flows[:2], flows[2:4], flows[4:]]
        for request, expected in (
            ({"startedBy": "dagy/3"}, [flows[3]]),
            ({"startedBy": "dagy/3", "desiredStatus": "STOPPED"}, []),
            ({"family": "other"}, []),
            ({"family": "other", "desiredStatus": "STOPPED"}, [other]),
            ({"launchType": "EC2"}, []),
            ({"launchType": "FARGATE"}, flows),
            ({"serviceName": "web"}, []),
        ):
            assert (await kit.call("ListTasks", **request))["taskArns"] == expected

    simulated(test)


def test_tags_of_everything_can_be_changed() -> None:
    async def test(kit: Kit) -> None:
        definition_arn = await kit.register()
        task_arn = (await kit.run(overrides=FOREVER))["taskArn"]
        for arn in (definition_arn, task_arn, f"{REALM}:cluster/default"):
            await kit.call(
                "TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
            )
            await kit.call("UntagResource", resourceArn=arn, tagKeys=["a"])
            assert (await kit.call("ListTagsForResource", resourceArn=arn))["tags"] == [{"key": "b", "value": "2"}]

    simulated(test)


def test_a_task_inherits_tags_when_told_to() -> None:
    async def test(kit: Kit) -> None:
        tags = [{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]
        await kit.call("RegisterTaskDefinition", **definition(), tags=tags)
        task = await kit.run(
            tags=[{"key": "b", "value": "2"}], propagateTags="TASK_DEFINITION", enableECSManagedTags=True
        )
        assert {tag["key"]: tag["value"] for tag in task["tags"]} == {
            "aws:ecs:clusterName": "default",
            "a": "1",
            "b": "2",
        }

    simulated(test)


def test_a_capacity_provider_strategy_gives_its_base_first_and_the_rest_by_weight() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        strategy = [
            {"capacityProvider": "FARGATE", "base": 2, "weight": 0},
            {"capacityProvider": "FARGATE_SPOT", "weight": 1},
        ]
        request = {"taskDefinition": "flow", "networkConfiguration": NETWORK, "count": 5}
        tasks = (await kit.call("RunTask", **request, capacityProviderStrategy=strategy))["tasks"]
        assert [task["capacityProviderName"] for task in tasks] == ["FARGATE"] * 2 + ["FARGATE_SPOT"] * 3
        assert {task["launchType"] for task in tasks} == {"FARGATE"}

    simulated(test)


def test_a_cluster_s_default_strategy_serves_calls_that_choose_nothing() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        providers = {"capacityProviders": ["FARGATE", "FARGATE_SPOT"]}
        spot = SPOT["capacityProviderStrategy"]
        await kit.call("CreateCluster", clusterName="spot", defaultCapacityProviderStrategy=spot, **providers)
        request = {"taskDefinition": "flow", "networkConfiguration": NETWORK, "cluster": "spot"}
        task = (await kit.call("RunTask", **request))["tasks"][0]
        assert task["capacityProviderName"] == "FARGATE_SPOT"
        await kit.call("PutClusterCapacityProviders", cluster="spot", defaultCapacityProviderStrategy=[], **providers)
        assert (await kit.call("RunTask", **request))["tasks"][0]["launchType"] == "EC2"

    simulated(test)


def test_a_plain_task_runs_on_ec2_without_a_network_of_its_own() -> None:
    async def test(kit: Kit) -> None:
        container = {"name": "x", "image": "busybox", "memory": 128}
        await kit.call("RegisterTaskDefinition", family="plain", containerDefinitions=[container])
        task = (await kit.call("RunTask", taskDefinition="plain"))["tasks"][0]
        detail = await kit.bus.stopped(task["taskArn"])
        assert (detail["launchType"], detail["attachments"]) == ("EC2", [])
        assert "platformVersion" not in detail

    simulated(test)


def test_overridden_sizes_are_those_of_the_task() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        task = await kit.run(overrides={"cpu": "1 vCPU", "memory": "4096", "ephemeralStorage": {"sizeInGiB": 50}})
        assert (task["cpu"], task["memory"], task["ephemeralStorage"]) == ("1024", "4096", {"sizeInGiB": 50})

    simulated(test)


def test_the_metadata_endpoint_knows_the_task_and_its_containers() -> None:
    async def test(kit: Kit) -> None:
        await kit.register()
        arn = (await kit.run(overrides=FOREVER))["taskArn"]
        container = (await kit.bus.status(arn, "RUNNING"))["containers"][0]
        whole = await kit.ecs.admin("metadata", {"id": container["runtimeId"], "path": "/task"})
        assert whole["TaskARN"] == arn
        assert (whole["Family"], whole["Revision"], whole["LaunchType"]) == ("flow", "1", "FARGATE")
        assert whole["Limits"] == {"CPU": 0.25, "Memory": 512}
        own = await kit.ecs.admin("metadata", {"id": container["runtimeId"], "path": ""})
        assert whole["Containers"] == [own]
        assert own["KnownStatus"] == "RUNNING"
        for path in ("/stats", "/task/stats"):
            assert await kit.ecs.admin("metadata", {"id": container["runtimeId"], "path": path})

    simulated(test)
