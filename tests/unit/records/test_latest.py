"""Versions and what 'latest' means: pushes, deprecations and their races."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from moto import mock_aws
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError
from pynamodb.transactions import TransactWrite

from dagy_queue.errors import AwsRefused, AwsThrottled, FlowNotFound, PackageNotFound, RequestInvalid
from dagy_queue.records import latest, transactions
from dagy_queue.records.flows import (
    RegisteredFlow,
    activate_flow,
    deprecate_flow,
    find_flow,
    flows_of_org,
    get_flow_spec,
    register_flow,
    versions_of_flow,
)
from dagy_queue.records.models import DepPackageModel, FlowModel
from dagy_queue.records.packages import (
    DepPackage,
    activate_package,
    deprecate_package,
    find_packages,
    packages_of_org,
    register_package,
    versions_of_package,
)
from dagy_queue.records.tables import create_tables
from dagy_queue.settings import load_settings
from tests.unit.records.conftest import TABLES

with_tables = pytest.mark.usefixtures("tables")
SPEC = {"name": "etl"}


def flow(version: str, **changes: Any) -> RegisteredFlow:
    digit = str(ord(version[0]) % 10)
    fields = {"artifact_uri": f"s3://bucket/{version}.zip", "artifact_sha256": digit * 64} | changes
    return RegisteredFlow(**{"org_id": "acme", "name": "etl", "version": version} | fields)


def push(*versions: str) -> None:
    for version in versions:
        register_flow(flow(version), SPEC)


def meant() -> str:
    """What 'latest' resolves to; '' for nothing."""
    found = find_flow("acme", "etl", "latest")
    return found.version if found else ""


@contextmanager
def just_before(monkeypatch: pytest.MonkeyPatch, interfere: Callable[[], object]) -> Iterator[None]:
    """Let somebody else write between what the next write reads and what it writes."""
    commit = TransactWrite._commit

    def delayed(self: TransactWrite) -> Any:
        monkeypatch.setattr(TransactWrite, "_commit", commit)
        interfere()
        return commit(self)

    monkeypatch.setattr(TransactWrite, "_commit", delayed)
    yield
    assert TransactWrite._commit is commit


@with_tables
def test_latest_is_what_was_pushed_last_whatever_its_number() -> None:
    push("1.0", "2.0", "1.1")
    assert meant() == "1.1"
    push("2.0")
    assert meant() == "2.0"


@with_tables
def test_latest_skips_a_deprecated_version_and_has_it_again_when_it_is_allowed_again() -> None:
    push("1", "2", "3")
    found = deprecate_flow("acme", "etl", "3", "loses rows")
    assert (found.status, found.status_reason, meant()) == ("INACTIVE", "loses rows", "2")
    deprecate_flow("acme", "etl", "1")
    assert meant() == "2"
    deprecate_flow("acme", "etl", "2")
    assert meant() == ""
    activate_flow("acme", "etl", "1")
    assert meant() == "1"
    found = activate_flow("acme", "etl", "3")
    assert (found.status, found.status_reason, meant()) == ("ACTIVE", "", "3")
    activate_flow("acme", "etl", "2")
    assert meant() == "3"


@with_tables
def test_a_deprecated_version_is_still_found_with_its_reason() -> None:
    push("1")
    deprecate_flow("acme", "etl", "1", "loses rows")
    assert find_flow("acme", "etl", "1") == flow("1", status="INACTIVE", status_reason="loses rows")


@with_tables
def test_deprecating_twice_and_allowing_what_is_allowed_change_nothing() -> None:
    push("1", "2")
    deprecate_flow("acme", "etl", "2")
    deprecate_flow("acme", "etl", "2", "because")
    activate_flow("acme", "etl", "1")
    assert (meant(), versions_of_flow("acme", "etl").versions[0].status_reason) == ("1", "because")


@with_tables
def test_pushing_a_deprecated_version_again_does_not_allow_it_again() -> None:
    push("1", "2")
    deprecate_flow("acme", "etl", "2", "loses rows")
    with pytest.raises(RequestInvalid, match=r"'etl' version '2' of org 'acme' is deprecated \(loses rows\)"):
        push("2")
    assert meant() == "1"


@with_tables
@pytest.mark.parametrize("change", [deprecate_flow, activate_flow])
def test_only_a_version_that_is_there_can_be_deprecated_or_allowed(change: Callable[..., Any]) -> None:
    push("1")
    for org_id, version in (("acme", "2"), ("other", "1")):
        with pytest.raises(FlowNotFound, match=f"is not registered for org '{org_id}'; `dagy-queue flow list"):
            change(org_id, "etl", version)
    with pytest.raises(RequestInvalid, match="latest"):
        change("acme", "etl", "latest")
    assert meant() == "1"


@with_tables
def test_two_orgs_have_a_latest_of_their_own() -> None:
    push("1")
    register_flow(flow("2", org_id="other"), SPEC)
    deprecate_flow("other", "etl", "2")
    assert meant() == "1"


@with_tables
def test_of_two_pushes_of_one_version_at_once_the_second_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with just_before(monkeypatch, lambda: push("1")), pytest.raises(RequestInvalid, match="versions are immutable"):
        register_flow(flow("1", artifact_sha256="f" * 64), SPEC)
    assert find_flow("acme", "etl", "1") == find_flow("acme", "etl", "latest") == flow("1")


@with_tables
def test_two_pushes_of_the_same_content_at_once_both_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    with just_before(monkeypatch, lambda: push("1")):
        push("1")
    assert find_flow("acme", "etl", "latest") == flow("1")


@with_tables
def test_a_version_that_is_pushed_while_another_is_deprecated_is_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    push("1", "2")
    with just_before(monkeypatch, lambda: push("3")):
        deprecate_flow("acme", "etl", "2")
    assert meant() == "3"


@with_tables
def test_a_version_that_is_deprecated_while_it_is_pushed_again_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    push("1", "2")
    with (
        just_before(monkeypatch, lambda: deprecate_flow("acme", "etl", "2")),
        pytest.raises(RequestInvalid, match="is deprecated"),
    ):
        push("2")
    assert meant() == "1"


@with_tables
def test_a_successor_that_is_deprecated_meanwhile_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    push("1", "2", "3")
    with just_before(monkeypatch, lambda: deprecate_flow("acme", "etl", "2")):
        deprecate_flow("acme", "etl", "3")
    assert meant() == "1"


@with_tables
def test_a_push_after_one_from_a_machine_whose_clock_is_ahead_is_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(latest, "datetime", Ahead)
    push("1")
    monkeypatch.undo()
    push("2")
    assert meant() == "2"
    deprecate_flow("acme", "etl", "2")
    activate_flow("acme", "etl", "2")
    assert meant() == "2"


@with_tables
def test_who_is_overtaken_all_the_time_gives_up_with_a_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_LONGEST_PAUSE", 0)
    tries = []

    def overtaken(*_: Any) -> None:
        tries.append(1)
        raise transactions.Overtaken

    monkeypatch.setattr(latest, "write_together", overtaken)
    with pytest.raises(AwsThrottled, match="try again in a moment"):
        push("1")
    assert len(tries) == 8


@with_tables
@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (["TransactionConflict", "None"], transactions.Overtaken),
        (["ConditionalCheckFailed", "TransactionConflict"], transactions.Overtaken),
        (["None", "ThrottlingError"], AwsThrottled),
        (["ValidationError"], AwsRefused),
    ],
)
def test_what_cancels_a_transaction_is_told_apart(codes: list[str], error: type[Exception]) -> None:
    reasons = [None if code == "None" else CancellationReason(code=code) for code in codes]
    answer = {"Error": {"Code": "TransactionCanceledException", "Message": str(codes)}}
    cause = VerboseClientError(answer, "TransactWriteItems", cancellation_reasons=reasons)

    def cancelled(_: TransactWrite) -> None:
        raise TransactWriteError("no", cause)

    with pytest.raises(error):
        transactions.write_together(FlowModel, cancelled)


@with_tables
def test_a_condition_of_the_callers_own_is_kept_to() -> None:
    model = FlowModel(flow_name="etl", flow_version="1", org_id="acme", artifact_s3_uri="s3://bucket/1.zip")
    with pytest.raises(AwsRefused) as caught:
        model.save(FlowModel.namespace == "mine")
    assert caught.value.code == "ConditionalCheckFailedException"
    assert meant() == ""
    model.save(FlowModel.flow_id.does_not_exist())
    assert meant() == "1"


@with_tables
def test_the_versions_of_a_flow_come_with_those_pushed_last_first() -> None:
    push("1", "2", "3")
    deprecate_flow("acme", "etl", "3")
    found = versions_of_flow("acme", "etl")
    assert (found.name, found.latest, [each.version for each in found.versions]) == ("etl", "2", ["3", "2", "1"])
    times = [each.registered_at for each in found.versions]
    assert times == sorted(times, reverse=True)
    with pytest.raises(FlowNotFound):
        versions_of_flow("other", "etl")


@with_tables
def test_the_flows_of_an_org_are_listed_without_those_of_others() -> None:
    push("1", "2")
    register_flow(flow("1", name="audit", namespace="ops", tags={"team": "a"}, deployment_name="prod"), SPEC)
    register_flow(flow("9", org_id="other"), SPEC)
    deprecate_flow("acme", "audit", "1", "old")
    audit, etl = flows_of_org("acme")
    assert (audit.name, audit.latest, etl.name, etl.latest, len(etl.versions)) == ("audit", "", "etl", "2", 2)
    assert audit.versions == (
        flow(
            "1",
            name="audit",
            namespace="ops",
            tags={"team": "a"},
            deployment_name="prod",
            status="INACTIVE",
            status_reason="old",
        ),
    )
    assert flows_of_org("nobody") == []


@with_tables
def test_the_spec_of_a_version_can_be_read() -> None:
    push("1")
    assert get_flow_spec("acme", "etl", "1") == get_flow_spec("acme", "etl", "latest") == SPEC
    with pytest.raises(FlowNotFound):
        get_flow_spec("other", "etl", "1")


@with_tables
@pytest.mark.parametrize("org_id", ["", "*", "a#b", "acme#etl"])
def test_what_is_no_org_lists_nothing(org_id: str) -> None:
    push("1")
    for ask in (flows_of_org, packages_of_org):
        with pytest.raises(RequestInvalid, match="org_id"):
            ask(org_id)
    assert find_flow(org_id, "etl", "1") is None


def package(version: str) -> DepPackage:
    return DepPackage(slug="deps", version=version, uri=f"s3://bucket/{version}.zip", sha256="a" * 64)


@with_tables
def test_packages_are_deprecated_as_flows_are() -> None:
    for version in ("1", "2"):
        register_package("acme", package(version))
    register_package("other", package("1"))
    deprecate_package("acme", "deps", "2", "a hole")
    (latest_one,) = find_packages("acme", ["deps"])
    assert latest_one.version == "1"
    with pytest.raises(PackageNotFound, match=r"'deps' \(2\) of org 'acme' is deprecated; .*`dagy-queue dep activate"):
        find_packages("acme", ["deps", "deps@2"])
    (listed,) = packages_of_org("acme")
    assert listed == versions_of_package("acme", "deps")
    assert (listed.latest, [(each.version, each.status_reason) for each in listed.versions]) == (
        "1",
        [("2", "a hole"), ("1", "")],
    )
    activate_package("acme", "deps", "2")
    assert find_packages("acme", ["deps"]) == find_packages("acme", ["deps@2"]) == [package("2")]


@with_tables
def test_a_package_that_is_not_there_cannot_be_shown_or_deprecated() -> None:
    for ask in (
        lambda: versions_of_package("acme", "deps"),
        lambda: deprecate_package("acme", "deps", "1"),
        lambda: activate_package("acme", "deps", "1"),
    ):
        with pytest.raises(PackageNotFound, match="`dagy-queue dep list --org acme`"):
            ask()


@with_tables
def test_the_same_archive_may_lie_elsewhere_if_its_checksum_is_known() -> None:
    register_package("acme", package("1"))
    register_package("acme", replace(package("1"), uri="s3://other/1.zip"))
    assert find_packages("acme", ["deps"])[0].uri == "s3://other/1.zip"
    assert DepPackageModel.get("acme#deps", "latest").resolves_to == "1"


class Registry(RuleBasedStateMachine):
    """A registry and a model of it: any order of pushes, deprecations and permissions."""

    def __init__(self) -> None:
        super().__init__()
        self.aws = mock_aws()
        self.aws.start()
        create_tables(load_settings(records=TABLES, aws={"region": "eu-west-1"}))
        self.pushed: list[str] = []
        self.deprecated: set[str] = set()

    versions = st.sampled_from(["1", "2", "3", "4"])

    @rule(version=versions)
    def push(self, version: str) -> None:
        if version in self.deprecated:
            with pytest.raises(RequestInvalid):
                push(version)
            return
        push(version)
        self.pushed = [each for each in self.pushed if each != version] + [version]

    @rule(version=versions)
    def deprecate(self, version: str) -> None:
        if version in self.pushed:
            deprecate_flow("acme", "etl", version)
            self.deprecated.add(version)

    @rule(version=versions)
    def activate(self, version: str) -> None:
        if version in self.pushed:
            activate_flow("acme", "etl", version)
            self.deprecated.discard(version)

    @invariant()
    def latest_is_the_active_version_that_was_pushed_last(self) -> None:
        active = [version for version in self.pushed if version not in self.deprecated]
        assert meant() == (active[-1] if active else "")

    def teardown(self) -> None:
        self.aws.stop()


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(
    deadline=None, max_examples=10, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)
