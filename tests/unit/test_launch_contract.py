"""What a model accepts, ECS accepts; what it refuses never reaches the queue; and what was sent is read back unchanged.

The whole way from a request to RunTask is driven here, with the real planner and the local ECS, without HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import event, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dagy.contract import Env
from dagy_queue.errors import RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.definition_cache import NoCache
from dagy_queue.launching.deployments import DeploymentResolver
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.launching.planner import Planner
from dagy_queue.launching.run_task import MAX_OVERRIDES
from dagy_queue.ledger import RedisConnection
from dagy_queue.local.ecs import LocalEcs, LocalEcsConfig
from dagy_queue.local.ports import AwsError
from dagy_queue.producer import fan_out
from dagy_queue.producer.canvas import launch_sig, to_json
from dagy_queue.producer.launcher import DagLauncher
from dagy_queue.producer.publisher import Publisher
from dagy_queue.records.deployments import Deployment
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.records.packages import DepPackage
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.sizes import MEMORY_OF_CPU
from dagy_queue.requests.templating import rendered
from dagy_queue.settings import Settings, load_settings
from tests.local.ecs.ecs_kit import Bus, Logs, Secrets, as_parsed, as_sent
from tests.unit.producer.conftest import process, publisher, publisher_of_session  # noqa: F401
from tests.unit.strategies import EXISTING, TEMPLATE, any_requests, env_names, matching, plain, unhurried

ROLE = "arn:aws:iam::000000000000:role/execution"
SECRET = "hunter2-hunter2"
numbers = itertools.count()


@dataclass
class Account:
    """AWS as the planner and the launcher see it: a local ECS, called in this thread, and an S3 that keeps texts."""

    ecs: LocalEcs
    loop: asyncio.AbstractEventLoop
    objects: dict[str, str] = field(default_factory=dict)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call as boto3 does: botocore checks and sends the parameters, and reads the answer."""
        try:
            answer = self.loop.run_until_complete(self.ecs.call(operation, as_sent(operation, parameters)))
        except AwsError as exc:
            raise ClientError({"Error": {"Code": exc.code, "Message": exc.message}}, operation) from exc
        return as_parsed(operation, answer)

    def in_region(self, _: str) -> Any:
        return SimpleNamespace(
            ecs_control=SimpleNamespace(
                describe_task_definition=lambda **asked: self.call("DescribeTaskDefinition", **asked),
                register_task_definition=lambda **asked: self.call("RegisterTaskDefinition", **asked),
            )
        )

    @property
    def s3(self) -> Any:
        return SimpleNamespace(put_object=lambda **put: self.objects.update({put["Key"]: put["Body"].decode()}))


def settings_with(**ecs: Any) -> Settings:
    known = {"cluster": "dagy", "subnets": ("subnet-1",), "execution_role_arn": ROLE}
    return load_settings(storage={"artifact_bucket": "artifacts"}, ecs=known | ecs)


def registered_flow(org_id: str, name: str, version: str) -> RegisteredFlow:
    uri = f"s3://artifacts/{org_id}/{name}.zip"
    return RegisteredFlow(org_id=org_id, name=name, version=version, artifact_uri=uri, artifact_sha256="0" * 64)


def planner(account: Account, config: Settings) -> Planner:
    """A planner for which every flow is registered, and every deployment, with twenty packages."""
    made = Planner(config, account, NoCache())  # type: ignore[arg-type]
    made._flows = FlowResolver(10, registered_flow)
    made._deployments = DeploymentResolver(
        10,
        lambda _, name, environment: Deployment(
            name=name, environment=environment, package_slugs=tuple(f"package-{n}" for n in range(20)), defaults={}
        ),
        lambda org, slugs: [DepPackage(slug=s, version="1", uri=f"s3://p/{org}/{s}.zip", sha256="") for s in slugs],
    )
    return made


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    loop = asyncio.new_event_loop()
    config = LocalEcsConfig(simulate=True, seed=1, clusters=("default", "dagy"))
    account = Account(LocalEcs(config, Bus(), Logs(), Secrets()), loop)
    loop.run_until_complete(account.ecs.start())
    account.call("RegisterTaskDefinition", **{**TEMPLATE, "family": EXISTING})
    yield account
    loop.run_until_complete(account.ecs.close())
    loop.close()


def as_dispatched(request: LaunchRequest | ContainerRequest, run_id: str) -> LaunchRequest | ContainerRequest:
    """Return a request as a dispatcher has it: sent, read, and its references filled in."""
    values = to_json(request)
    values["correlation_id"] = request.correlation_id or run_id
    return read_request(rendered(json.loads(json.dumps(values)), run_id=run_id))


def launched(account: Account, plans: Planner, request: LaunchRequest | ContainerRequest) -> dict[str, Any]:
    """Launch a request and return its task."""
    run_id = f"run-{next(numbers)}"
    plan = plans.plan(AttemptId(run_id, 1), as_dispatched(request, run_id))
    answer = account.call("RunTask", **plan.parameters)
    assert not answer["failures"]
    length = len(json.dumps(plan.parameters["overrides"], separators=(",", ":"), ensure_ascii=False))
    assert length <= MAX_OVERRIDES
    (task,) = answer["tasks"]
    assert task["startedBy"] == f"dagy/{run_id}/1"
    worker = task["overrides"]["containerOverrides"][0]
    assert {"name": Env.RUN_ID, "value": run_id} in worker["environment"]
    return dict(task)


def test_whatever_is_accepted_can_be_launched(account: Account) -> None:
    plans = planner(account, settings_with())

    @unhurried
    @given(any_requests)
    def check(request: LaunchRequest | ContainerRequest) -> None:
        task = launched(account, plans, request)
        last = request.run_task_kwargs.get("overrides") or {}
        if size := (last.get("cpu") and (int(last["cpu"]), int(last["memory"]))) or request.size:
            assert (int(task["cpu"]), int(task["memory"])) == size

    check()


@pytest.mark.parametrize("launch_type", ["EC2", "FARGATE"])
def test_whatever_the_settings_say_of_capacity_requests_of_their_own_can_be_launched(
    account: Account, launch_type: str
) -> None:
    plans = planner(account, settings_with(launch_type=launch_type, tags={"team": "data"}, assign_public_ip=True))
    for own in ({}, {"launch_type": "EC2", "cpu": 300, "memory": 700}, {"launch_type": "FARGATE"}):
        task = launched(account, plans, LaunchRequest(flow_name="f", org_id="o", **own))
        assert task["launchType"] == own.get("launch_type", launch_type)
        assert {"key": "team", "value": "data"} in task["tags"]


def within_bounds(**fields: Any) -> LaunchRequest | None:
    """Return the request, or None if all it says is too much for RunTask."""
    try:
        return LaunchRequest(**fields)
    except ValidationError as exc:
        if "characters of JSON" in str(exc):
            return None
        raise


def problems_of_launch(account: Account, plans: Planner, request: LaunchRequest) -> list[str]:
    """Launch a request; return the fields that the planner refused it for."""
    try:
        launched(account, plans, request)
    except RequestInvalid as exc:
        return [problem.field for problem in exc.problems]
    return []


own_texts = st.builds(lambda character, times: character * times, st.sampled_from('aü"'), st.integers(0, 6100))


def test_a_launch_is_within_what_run_task_takes_or_is_refused_before(account: Account) -> None:
    plans = planner(account, settings_with())

    @unhurried
    @given(own_texts, own_texts, st.integers(0, 260), matching(r"[a-z]{1,40}"))
    def check(value: str, parameter: str, variables: int, org_id: str) -> None:
        fields = {"extra_env_vars": {"A": value} | {f"V{n}": "" for n in range(variables)}, "deployment_name": "d"}
        request = within_bounds(flow_name="f", org_id=org_id, parameters={"p": parameter}, **fields)
        event("accepted" if request else "refused at once")
        refused = request and problems_of_launch(account, plans, request)
        assert refused in (None, [], ["overrides"])

    check()


def test_what_fits_only_without_our_own_variables_is_refused_before_run_task(account: Account) -> None:
    ids = {"flow_name": "f" * 128, "org_id": "o" * 40, "correlation_id": "c" * 200, "deployment_name": "d"}
    request = LaunchRequest(**ids, extra_env_vars={"A": "x" * 6100})
    assert problems_of_launch(account, planner(account, settings_with()), request) == ["overrides"]


@unhurried
@given(any_requests)
def test_a_request_is_read_back_as_it_was_sent(request: LaunchRequest | ContainerRequest) -> None:
    sent = json.dumps(to_json(request), allow_nan=False)
    assert read_request(json.loads(sent)) == request
    assert json.dumps(to_json(read_request(json.loads(sent)))) == sent


def only(name: str, values: st.SearchStrategy[Any], named: str = "") -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return values.map(lambda value: (named or name, {name: value}))


no_names = st.sampled_from(["", "../x", "a/b", "a b", ".hidden", "a\n", "ü", "x" * 129, 5, ["a"], {}])
reserved = st.sampled_from(["DAGY_RUN_ID", "DAGY_X", "TASK_NAME", "TASK_NUM"])
variable_names = reserved | st.sampled_from(["1A", "A-B", "", "A B", "ü"])
own_variables = st.builds(lambda name, value: {name: value}, variable_names, plain)
no_sizes = st.tuples(st.sampled_from([0, 100, -256, *MEMORY_OF_CPU]), st.integers(-1, 511))


def in_kwargs(variables: Mapping[str, str]) -> dict[str, Any]:
    listed = [{"name": name, "value": value} for name, value in variables.items()]
    return {"overrides": {"containerOverrides": [{"name": "worker", "environment": listed}]}}


no_counts = st.integers(max_value=-1) | st.integers(1001) | st.just(1.5)
EXIT_CODES = ("retry_on_exit_codes", "skip_on_exit_code")

refusals = st.one_of(
    only("org_id", no_names),
    only("flow_name", no_names),
    only("environment", no_names.filter(bool)),
    only("deployment_name", no_names.filter(bool)),
    only("profile", st.sampled_from(["../x", "a/../b", "unknown", "/a", 5])),
    only("correlation_id", st.sampled_from(["a b", "ä", "a\n", "x" * 201])),
    only("priority", st.integers(10) | st.integers(max_value=-1) | st.just("high")),
    only("max_retries", st.integers(max_value=-1) | st.just(1.5)),
    *(only(name, no_counts) for name in ("oom_retries", "spot_retries", "start_retries", "spot_fallback_after")),
    only("grow_on_oom", st.sampled_from(["much", 2, [True]])),
    *(only(name, st.sampled_from([0, -1, 256, [1, 300], "x", True, 1.5])) for name in EXIT_CODES),
    only("retry_delay", st.sampled_from([-1, math.nan, math.inf, "soon", "-5s", "2d"])),
    only("timeout", st.sampled_from([0, -1, "15 days", math.nan, "0s"])),
    only("parameters", st.sampled_from([{"a": math.nan}, {"a": {1: 2}}, {"a": {1}}, [1], {"a": "{{ run.nobody }}"}])),
    only("metadata", st.sampled_from([{"a": math.inf}, {"a": b""}, "x"])),
    only("extra_env_vars", own_variables | st.sampled_from([{"A": "\0"}, {"A": 1}, {"A": "{{run.x}}"}, "A=1"])),
    only("secrets_env", st.builds(lambda name: {name: SECRET}, env_names) | st.just({"A": 5}) | st.just(SECRET)),
    only("container_overrides", own_variables.map(lambda own: [{"name": "worker", "environment": own}])),
    only("container_overrides", st.sampled_from([[{"name": "a"}] * 2, [{}], [{"name": "a", "secrets": []}]])),
    only("run_task_kwargs", own_variables.filter(lambda own: "" not in own).map(in_kwargs)),
    only(
        "run_task_kwargs",
        st.sampled_from(["count", "clientToken", "startedBy", "referenceId", "nonsense"]).map(lambda n: {n: "x"}),
    ),
    only(
        "tags",
        st.sampled_from([{"aws:x": ""}, {"Dagy:x": ""}, {"a": "#"}, {"": ""}, {"a" * 129: ""}]),
    ),
    only("tags", st.integers(43, 60).map(lambda count: {f"t{n}": "" for n in range(count)})),
    only("subnets", st.just([f"subnet-{n}" for n in range(17)]) | st.just(["vpc-1"])),
    only("security_groups", st.just([f"sg-{n}" for n in range(6)]) | st.just(["subnet-1"])),
    only("cluster", st.sampled_from(["a b", "../x", "arn:aws:ecs:eu-west-1:1:service/x"])),
    only("task_definition", st.sampled_from(["../x", "f:0", "f:x", "a b"])),
    only("launch_type", st.sampled_from(["fargate", "EXTERNAL", 5])),
    only("capacity_provider_strategy", st.sampled_from([[{}], [{"capacityProvider": "a", "weight": 1001}], "FARGATE"])),
    only("platform_version", st.sampled_from(["1.4", "latest", "\u0661.4.0"])),
    only("task_role_arn", st.sampled_from(["admin", "arn:aws:iam::1:user/x"])),
    only("ephemeral_storage_gib", st.integers(max_value=20) | st.integers(201)),
    only("workload_profile", st.sampled_from(["huge", "SMALL", 1])),
    only("task_definition_template", st.sampled_from([{}, {"containerDefinitions": [{"name": "a"}]}, "nowhere.json"])),
    only("worker_image", st.sampled_from(["a b", "a\n", "x" * 256, "\0"])),
    no_sizes.map(lambda size: ("size", {"cpu": size[0], "memory": size[1]})),
    st.sampled_from([{"cpu": 256}, {"memory": 512}]).map(lambda size: ("size", size)),
    st.sampled_from(["secret_env", "api_tokens", "db_password"]).map(lambda name: (name, {name: {"A": SECRET}})),
    only("parametres", st.just({"a": 1})),
    only("nonsense", st.none().map(lambda _: object())),
)
"""Fields that make a request wrong, and the name that the error has for it."""


def test_what_is_refused_is_named_and_never_reaches_the_queue(process: Publisher, connection: RedisConnection) -> None:  # noqa: F811
    launcher = DagLauncher(process.settings)

    @with_settings(unhurried, max_examples=250)
    @given(refusals)
    def check(refusal: tuple[str, dict[str, Any]]) -> None:
        name, wrong = refusal
        fields: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"} | wrong
        result = launcher.launch(**fields)
        assert not result.success
        assert name in (result.error_message or "")
        assert SECRET not in (result.error_message or "")
        calls = [lambda: launcher.enqueue(**fields), lambda: fan_out(shards=[{}], launcher=launcher, **fields)]
        for call in [*calls, lambda: launch_sig(**fields).apply_async()]:
            with pytest.raises(RequestInvalid) as caught:
                call()
            assert any(problem.field.startswith(name) for problem in caught.value.problems), str(caught.value)
            assert SECRET not in f"{caught.value}{caught.value.problems}"
        assert connection.client.dbsize() == 0

    check()
