"""Deployments and dependency packages: saving as the guide does, finding as launches do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import DeploymentNotFound, NotRegistered, PackageNotFound, RequestInvalid
from dagy_queue.records.deployments import (
    Deployment,
    DepPackage,
    choose,
    find_deployment,
    find_packages,
    get_deployment,
)
from dagy_queue.records.models import DeploymentModel, DepPackageModel
from tests.unit.strategies import names, unhurried

with_tables = pytest.mark.usefixtures("tables")


def deploy(name: str = "production", **fields: Any) -> None:
    DeploymentModel(deployment_name=name, **{"dep_package_slugs": ["my-deps"]} | fields).save()


def package(version: str = "1.0.0", slug: str = "my-deps", org_id: str = "acme", **fields: Any) -> None:
    uri = f"s3://bucket/{org_id}/{slug}-{version}.zip"
    DepPackageModel(**{"slug": slug, "package_s3_uri": uri, "org_id": org_id, "version": version} | fields).save()


@with_tables
def test_the_guides_deployment_is_found_by_every_org() -> None:
    deploy(environment="production")
    expected = Deployment(name="production", environment="production", package_slugs=("my-deps",), defaults={})
    assert find_deployment("acme", "production", "production") == expected
    assert find_deployment("other", "production", "") == expected


@with_tables
def test_what_nobody_deployed_is_not_found() -> None:
    deploy("prod")
    assert find_deployment("acme", "pro") is None
    with pytest.raises(DeploymentNotFound, match=r"'pro' is not registered for org 'acme'; register it with"):
        get_deployment("acme", "pro")


@with_tables
def test_an_orgs_own_deployment_wins_over_the_shared_one() -> None:
    deploy(defaults={"cpu": 256, "memory": 512})
    deploy(org_id="acme", defaults={"cpu": 512, "memory": 1024})
    assert [get_deployment(org, "production").defaults["cpu"] for org in ("acme", "other")] == [512, 256]


@with_tables
def test_another_orgs_deployment_is_never_found() -> None:
    deploy(org_id="other")
    assert find_deployment("acme", "production") is None


@with_tables
def test_one_name_may_exist_once_per_environment() -> None:
    for environment in ("develop", "staging"):
        deploy("main", environment=environment, defaults={"log_group": environment})
    assert get_deployment("acme", "main", "staging").defaults == {"log_group": "staging"}
    with pytest.raises(DeploymentNotFound, match="only in develop, staging"):
        get_deployment("acme", "main", "production")
    with pytest.raises(DeploymentNotFound, match="set the request's environment to one of develop, staging"):
        get_deployment("acme", "main")


@with_tables
def test_an_environment_that_the_org_lacks_may_be_shared() -> None:
    deploy("main", environment="develop", org_id="acme")
    deploy("main", environment="staging")
    assert get_deployment("acme", "main", "staging").environment == "staging"


@pytest.mark.parametrize(
    ("known", "asked", "found"),
    [
        ([""], "production", ""),
        (["production"], "production", "production"),
        (["production"], "develop", None),
        (["production"], "", "production"),
        (["production", "develop"], "", None),
        (["production", "develop", ""], "", ""),
        (["production", "develop", ""], "staging", ""),
        ([], "", None),
    ],
)
def test_the_environment_chooses(known: list[str], asked: str, found: str | None) -> None:
    deployments = [Deployment(name="d", environment=e, package_slugs=(), defaults={}) for e in known]
    chosen = choose(deployments, asked)
    assert (chosen.environment if chosen else None) == found


@given(st.lists(names, unique=True), names)
def test_a_run_never_gets_another_environments_deployment(known: list[str], asked: str) -> None:
    deployments = [Deployment(name="d", environment=e, package_slugs=(), defaults={}) for e in known]
    chosen = choose(deployments, asked)
    assert (chosen is not None) == (asked in known)
    assert chosen is None or chosen.environment == asked


@with_tables
def test_saving_a_deployment_again_replaces_it() -> None:
    deploy()
    deploy(dep_package_slugs=["b", "a@1"], defaults='{"workload_profile": "large"}')
    found = get_deployment("acme", "production")
    assert (found.package_slugs, found.defaults) == (("b", "a@1"), {"workload_profile": "large"})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"deployment_name": "a#b"}, "deployment_name"),
        ({"environment": "x y"}, "environment"),
        ({"org_id": "*"}, "org_id"),
        ({"dep_package_slugs": ["../x"]}, "dep_package_slugs"),
        ({"dep_package_slugs": ["a/b"]}, "dep_package_slugs"),
        ({"dep_package_slugs": ["a@"]}, "dep_package_slugs"),
        ({"dep_package_slugs": [7]}, "dep_package_slugs"),
        ({"defaults": {"workload_profile": "colossal"}}, r"defaults\.workload_profile"),
        ({"defaults": {"colour": "red"}}, r"defaults\.colour"),
        ({"defaults": {"org_id": "acme"}}, r"defaults\.org_id"),
    ],
)
def test_a_deployment_that_could_not_work_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestInvalid, match=problem):
        DeploymentModel(**{"deployment_name": "production", "dep_package_slugs": ["x"]} | fields).save()


@pytest.mark.parametrize("defaults", ["{", "[]", 7])
def test_defaults_that_are_no_object_are_refused(defaults: Any) -> None:
    with pytest.raises(RequestInvalid, match="defaults"):
        DeploymentModel(deployment_name="production", defaults=defaults)


@with_tables
def test_packages_are_found_in_the_order_of_their_slugs() -> None:
    for slug in ("a", "b", "c"):
        package(slug=slug)
    assert [p.slug for p in find_packages("acme", ["c", "a", "b", "a"])] == ["c", "a", "b", "a"]
    assert find_packages("acme", []) == []


@with_tables
def test_a_slug_is_its_latest_version_unless_one_is_pinned() -> None:
    package("1.0.0", sha256="a" * 64)
    package("2.0.0")
    latest, pinned = find_packages("acme", ["my-deps", "my-deps@1.0.0"])
    assert latest == DepPackage(slug="my-deps", version="2.0.0", uri="s3://bucket/acme/my-deps-2.0.0.zip", sha256="")
    assert (pinned.version, pinned.sha256) == ("1.0.0", "a" * 64)


@with_tables
def test_another_orgs_package_is_never_found() -> None:
    package(org_id="other")
    with pytest.raises(PackageNotFound):
        find_packages("acme", ["my-deps"])


@with_tables
def test_every_package_that_is_missing_is_named() -> None:
    package(slug="there")
    with pytest.raises(NotRegistered) as caught:
        find_packages("acme", ["there", "there@9", "gone"])
    assert "'there' (9), 'gone' (latest) is registered for org 'acme'; register it with DepPackageModel" in str(
        caught.value
    )


@with_tables
def test_more_packages_are_found_than_fit_one_call() -> None:
    slugs = [f"p{number}" for number in range(120)]
    for slug in slugs:
        package(slug=slug)
    assert [p.slug for p in find_packages("acme", slugs)] == slugs


@with_tables
@pytest.mark.parametrize("change", [{"package_s3_uri": "s3://bucket/else.zip"}, {"sha256": "b" * 64}])
def test_a_packages_version_never_changes(change: dict[str, Any]) -> None:
    package()
    package()
    with pytest.raises(
        RequestInvalid, match=r"'my-deps' version '1\.0\.0' of org 'acme' is registered with other content"
    ):
        package(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "a/b"},
        {"slug": "../a"},
        {"slug": "a@1"},
        {"version": "latest"},
        {"org_id": ""},
        {"package_s3_uri": "https://x/y.zip"},
        {"package_s3_uri": "s3://bucket/"},
        {"sha256": "xyz"},
    ],
)
def test_a_package_that_could_not_work_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid, match=next(iter(change))):
        package(**change)


@unhurried
@given(st.text(max_size=20))
def test_what_is_no_slug_is_refused_before_anything_is_asked(text: str) -> None:
    if any(character in text for character in "/#\\ ") or text.startswith("."):
        with pytest.raises(RequestInvalid):
            find_packages("acme", [text])


@with_tables
def test_a_deployment_as_the_page_of_the_record_has_it_can_be_used() -> None:
    page = (Path(__file__).parents[3] / "docs" / "records.md").read_text()
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(snippet, {"DeploymentModel": DeploymentModel})  # noqa: S102 - our own page
    found = get_deployment("acme-corp", "production", "production")
    assert found.package_slugs == ("my-deps", "tools@1.2.0")
    assert find_deployment("acme-corp", "production") == found


@pytest.mark.parametrize("name", ["cluster", "max_retries", "timeout"])
def test_a_deployment_cannot_say_what_counts_around_the_launch(name: str) -> None:
    with pytest.raises(RequestInvalid, match=f"defaults.{name}"):
        deploy(defaults={name: 1})
