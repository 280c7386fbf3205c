from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagy_queue.errors import AwsUnavailable, DeploymentNotFound, PackageNotFound
from dagy_queue.launching import remembered
from dagy_queue.launching.deployments import DeploymentResolver
from dagy_queue.launching.refusals import Refusal, refusal_of
from dagy_queue.records.deployments import Deployment
from dagy_queue.records.packages import DepPackage

PATIENCE = 10


class Registry:
    """A registry in memory that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.cpu = 256
        self.now = 100.0
        self.errors: list[Exception] = []

    def find(self, org_id: str, name: str, environment: str) -> Deployment:
        self.asked.append((org_id, name, environment))
        if self.errors:
            raise self.errors.pop()
        defaults = {"cpu": self.cpu, "environment": environment}
        return Deployment(name=name, environment=environment, package_slugs=("b", "a@2"), defaults=defaults)

    def packages(self, org_id: str, slugs: tuple[str, ...]) -> list[DepPackage]:
        return [DepPackage(slug=s, version="1", uri=f"s3://p/{org_id}/{s}", sha256="") for s in slugs]

    def clock(self) -> float:
        return self.now


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def resolver(registry: Registry) -> DeploymentResolver:
    return DeploymentResolver(10, registry.find, registry.packages, registry.clock)


def test_a_deployment_has_its_packages_in_order_and_its_defaults(resolver: DeploymentResolver) -> None:
    found = resolver.resolve("acme", "prod", "staging")
    assert found.package_uris == ("s3://p/acme/b", "s3://p/acme/a@2")
    assert found.defaults == {"cpu": 256, "environment": "staging"}


def test_without_a_name_nobody_is_asked(registry: Registry, resolver: DeploymentResolver) -> None:
    assert resolver.resolve("acme", "", "staging").defaults == {}
    assert registry.asked == []


@pytest.mark.parametrize(("seconds", "cpu"), [(9.9, 256), (10.0, 512)])
def test_a_deployment_is_remembered_for_a_while(
    registry: Registry, resolver: DeploymentResolver, seconds: float, cpu: int
) -> None:
    resolver.resolve("acme", "prod", "")
    registry.cpu = 512
    registry.now += seconds
    assert resolver.resolve("acme", "prod", "").defaults["cpu"] == cpu


def test_orgs_and_environments_have_their_own(registry: Registry, resolver: DeploymentResolver) -> None:
    keys = [("acme", "prod", ""), ("other", "prod", ""), ("acme", "prod", "staging"), ("acme", "dev", "")]
    for key in keys * 2:
        resolver.resolve(*key)
    assert registry.asked == keys


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (AwsUnavailable("x"), Refusal.SAME_ATTEMPT),
        (DeploymentNotFound("x"), Refusal.FINAL),
        (PackageNotFound("x"), Refusal.FINAL),
    ],
)
def test_an_error_is_passed_on_and_not_remembered(
    registry: Registry, resolver: DeploymentResolver, error: Exception, refusal: Refusal
) -> None:
    registry.errors = [error]
    with pytest.raises(type(error)) as raised:
        resolver.resolve("acme", "prod", "")
    assert refusal_of(raised.value) is refusal
    assert resolver.resolve("acme", "prod", "").package_uris


def test_many_threads_read_once(registry: Registry, resolver: DeploymentResolver) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: resolver.resolve("acme", "prod", ""), range(32)))
    assert len(registry.asked) == 1


def test_what_is_remembered_is_not_held_up_by_what_is_read(registry: Registry) -> None:
    reading, may_go_on = threading.Event(), threading.Event()

    def find(org_id: str, name: str, environment: str) -> Deployment:
        if name == "slow":
            reading.set()
            may_go_on.wait(PATIENCE)
        return registry.find(org_id, name, environment)

    resolver = DeploymentResolver(10, find, registry.packages, registry.clock)
    resolver.resolve("acme", "prod", "")
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(resolver.resolve, "acme", "slow", "")
        assert reading.wait(PATIENCE)
        assert threads.submit(resolver.resolve, "acme", "prod", "").result(PATIENCE).package_uris
        may_go_on.set()
        slow.result(PATIENCE)


def test_what_is_remembered_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch, resolver: DeploymentResolver
) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 10)
    for number in range(25):
        resolver.resolve("acme", f"d{number}", "")
    assert len(resolver._known) <= 10
