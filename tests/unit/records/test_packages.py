"""Dependency packages: saving as the guide does, finding as launches do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import NotRegistered, PackageNotFound, RequestInvalid
from dagy_queue.records.models import DepPackageModel
from dagy_queue.records.packages import DepPackage, deprecate_package, find_packages
from tests.unit.strategies import unhurried

with_tables = pytest.mark.usefixtures("tables")


def package(version: str = "1.0.0", slug: str = "my-deps", org_id: str = "acme", **fields: Any) -> None:
    uri = f"s3://bucket/{org_id}/{slug}-{version}.zip"
    DepPackageModel(**{"slug": slug, "package_s3_uri": uri, "org_id": org_id, "version": version} | fields).save()


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
    assert str(caught.value) == (
        "no dependency package 'there' (9), 'gone' (latest) is registered for org 'acme', or all of its versions are "
        "deprecated; register it with `dagy-queue dep push PATH --version VERSION --org acme`, or as a "
        "DepPackageModel; `dagy-queue dep activate SLUG@VERSION --org acme` allows a deprecated one again"
    )


@with_tables
def test_a_version_that_is_missing_is_not_taken_for_a_deprecated_one() -> None:
    package(slug="there")
    with pytest.raises(PackageNotFound) as caught:
        find_packages("acme", ["there@9"])
    assert "deprecated" not in str(caught.value)


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
def test_a_package_of_which_all_versions_are_deprecated_says_how_to_allow_one_again() -> None:
    package("1")
    deprecate_package("acme", "my-deps", "1")
    with pytest.raises(PackageNotFound, match=r"or all of its versions are deprecated; .*`dagy-queue dep activate"):
        find_packages("acme", ["my-deps"])
