from __future__ import annotations

import pytest

from dagy_queue.errors import AwsUnavailable, FlowNotFound
from dagy_queue.launching import remembered
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.records.flows import RegisteredFlow


class Registry:
    """A registry in memory that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.latest = "1"
        self.deprecated: dict[str, str] = {}
        self.now = 100.0

    def find(self, org_id: str, name: str, version: str) -> RegisteredFlow | None:
        self.asked.append((org_id, name, version))
        if name == "unknown":
            return None
        found = self.latest if version == "latest" else version
        return RegisteredFlow(
            org_id=org_id,
            name=name,
            version=found,
            artifact_uri="s3://b/k",
            artifact_sha256=f"{org_id}-{found}",
            status="INACTIVE" if found in self.deprecated else "ACTIVE",
            status_reason=self.deprecated.get(found, ""),
        )

    def clock(self) -> float:
        return self.now


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def resolver(registry: Registry) -> FlowResolver:
    return FlowResolver(10, registry.find, registry.clock)


def test_a_version_is_remembered_for_a_while(registry: Registry, resolver: FlowResolver) -> None:
    assert resolver.resolve("acme", "etl", "1") is resolver.resolve("acme", "etl", "1")
    registry.now += 9.9
    resolver.resolve("acme", "etl", "1")
    assert len(registry.asked) == 1


def test_the_version_that_a_run_began_with_is_read_once(registry: Registry, resolver: FlowResolver) -> None:
    assert resolver.resolve_begun("acme", "etl", "1") is resolver.resolve_begun("acme", "etl", "1")
    registry.now += 1e9
    resolver.resolve_begun("acme", "etl", "1")
    assert len(registry.asked) == 1


def test_a_deprecated_version_is_refused_after_a_while_with_its_reason(
    registry: Registry, resolver: FlowResolver
) -> None:
    resolver.resolve("acme", "etl", "1")
    registry.deprecated["1"] = "loses rows"
    assert resolver.resolve("acme", "etl", "1").version == "1"
    registry.now += 10
    with pytest.raises(FlowNotFound) as caught:
        resolver.resolve("acme", "etl", "1")
    assert "'etl' version '1' of org 'acme' is deprecated (loses rows); launch another" in str(caught.value)
    assert "`dagy-queue flow activate etl@1 --org acme`" in str(caught.value)


def test_a_run_that_began_with_a_version_keeps_it_though_it_was_deprecated(
    registry: Registry, resolver: FlowResolver
) -> None:
    registry.deprecated["1"] = ""
    assert resolver.resolve_begun("acme", "etl", "1").version == "1"
    with pytest.raises(FlowNotFound, match="is deprecated; launch another"):
        resolver.resolve("acme", "etl", "1")


def test_latest_is_remembered_for_a_while(registry: Registry, resolver: FlowResolver) -> None:
    resolver.resolve("acme", "etl", "latest")
    registry.latest = "2"
    registry.now += 9.9
    assert resolver.resolve("acme", "etl", "latest").version == "1"


def test_latest_is_read_again_after_a_while(registry: Registry, resolver: FlowResolver) -> None:
    resolver.resolve("acme", "etl", "latest")
    registry.latest = "2"
    registry.now += 10
    assert resolver.resolve("acme", "etl", "latest").version == "2"


def test_flows_of_one_org_are_never_anothers(resolver: FlowResolver) -> None:
    assert resolver.resolve("acme", "etl", "1").artifact_sha256 == "acme-1"
    assert resolver.resolve("other", "etl", "1").artifact_sha256 == "other-1"


def test_a_flow_that_nobody_registered_is_not_found(resolver: FlowResolver) -> None:
    with pytest.raises(FlowNotFound, match=r"'unknown' version '1' is not registered for org 'acme'; build"):
        resolver.resolve("acme", "unknown", "1")
    with pytest.raises(FlowNotFound, match="or all of its versions are deprecated"):
        resolver.resolve("acme", "unknown", "latest")


def test_a_flow_may_be_registered_after_it_was_not_found(registry: Registry, resolver: FlowResolver) -> None:
    for _ in range(2):
        with pytest.raises(FlowNotFound):
            resolver.resolve("acme", "unknown", "1")
    assert len(registry.asked) == 2


def test_an_error_of_the_registry_is_not_remembered() -> None:
    answers = iter([AwsUnavailable("x"), None])

    def find(*_: str) -> None:
        if error := next(answers):
            raise error

    resolver = FlowResolver(10, find)
    with pytest.raises(AwsUnavailable):
        resolver.resolve("acme", "etl", "1")
    with pytest.raises(FlowNotFound):
        resolver.resolve("acme", "etl", "1")


def test_what_is_remembered_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, resolver: FlowResolver
) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 10)
    for number in range(25):
        resolver.resolve("acme", "etl", str(number))
    assert len(resolver._flows) <= 10
    assert resolver.resolve("acme", "etl", "24").version == "24"
    assert len(registry.asked) == 25
