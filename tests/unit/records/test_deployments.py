"""Deployments: saving as the guide does, finding as launches do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import DeploymentNotFound, RequestInvalid
from dagy_queue.records.deployments import Deployment, choose, deployments_of_org, find_deployment, get_deployment
from dagy_queue.records.models import DeploymentModel
from tests.unit.strategies import names

with_tables = pytest.mark.usefixtures("tables")


def deploy(name: str = "production", **fields: Any) -> None:
    DeploymentModel(deployment_name=name, **{"dep_package_slugs": ["my-deps"]} | fields).save()


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
    with pytest.raises(DeploymentNotFound, match=r"'pro' .* with `dagy-queue deployment set pro --org acme`"):
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
@pytest.mark.parametrize(
    ("org_id", "name"),
    [
        ("*", "theirs"),
        ("other#theirs", ""),
        ("oth", "theirs"),
        ("acme", "theirs"),
        ("acme", "other#theirs"),
        ("acme", "*"),
    ],
)
def test_no_name_leads_to_another_orgs_deployment(org_id: str, name: str) -> None:
    deploy("theirs", org_id="other")
    assert find_deployment(org_id, name) is None
    assert deployments_of_org("acme") == []
    for wrong in ("*", "other#", "other#theirs"):
        with pytest.raises(RequestInvalid, match="org_id"):
            deployments_of_org(wrong)


@with_tables
def test_an_orgs_deployments_are_listed_with_those_that_all_share() -> None:
    deploy("shared")
    deploy("own", org_id="acme", environment="staging")
    deploy("theirs", org_id="other")
    assert [(each.name, each.is_shared) for each in deployments_of_org("acme")] == [("own", False), ("shared", True)]


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
        ({"dep_package_slugs": "deps"}, "dep_package_slugs"),
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
def test_a_deployment_as_the_page_of_the_registry_has_it_can_be_used() -> None:
    page = (Path(__file__).parents[3] / "docs" / "registry.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (snippet,) = [each for each in snippets if "DeploymentModel(" in each]
    exec(snippet)  # noqa: S102 - our own page
    found = get_deployment("globex", "production", "production")
    assert found.package_slugs == ("my-deps", "tools@1.2.0")
    assert find_deployment("globex", "production") == found


@with_tables
def test_a_deployment_may_have_a_retry_policy() -> None:
    policy = {"max_retries": 2, "oom_retries": 1, "grow_on_oom": True, "retry_on_exit_codes": [75]}
    deploy(defaults=policy)
    assert get_deployment("acme", "production").defaults == policy
    with pytest.raises(RequestInvalid, match=r"defaults\.max_retries"):
        deploy(defaults={"max_retries": 101})


@pytest.mark.parametrize("name", ["cluster", "priority", "timeout"])
def test_a_deployment_cannot_say_what_counts_around_the_launch(name: str) -> None:
    with pytest.raises(RequestInvalid, match=f"defaults.{name}"):
        deploy(defaults={name: 1})
