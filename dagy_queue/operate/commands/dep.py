"""``dagy-queue dep``: pushing dependency packages to the registry, looking at them, deprecating versions.

``operate/cli.py`` adds the commands. Like its own, they import what they need when they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dagy_queue.operate.commands.parts import AsJson, group
from dagy_queue.operate.commands.registry_parts import (
    Org,
    chosen,
    no_such,
    org_of,
    print_fields,
    print_json,
    print_table,
    split_version,
    status_words,
    version_row,
    version_words,
    when,
)

if TYPE_CHECKING:
    from dagy_queue.records.packages import DepPackage, PackageVersions

dep_app = group("Register dependency packages and look at them.")

Named = Annotated[str, typer.Argument(metavar="SLUG", help="SLUG or SLUG@VERSION")]
OneVersion = Annotated[str, typer.Argument(metavar="SLUG@VERSION", help="the version")]


@dep_app.command("push")
def push(
    path: Annotated[Path, typer.Argument(metavar="PATH", exists=True, help="a zip or tar.gz, or a directory to pack")],
    version: Annotated[str, typer.Option(help="version of the package")],
    org: Org = "",
    slug: Annotated[str, typer.Option(help="name of the package; default: the file's or directory's")] = "",
    as_json: AsJson = False,
) -> None:
    """Check a package as a container would unpack it, upload it and register the version as the latest."""
    from dagy_queue.operate.packages import push_package
    from dagy_queue.settings import settings

    org_id = org_of(org)
    pushed = push_package(settings(), path, org_id=org_id, version=version, slug=slug)
    if as_json:
        print_json(pushed)
    else:
        typer.echo(f"registered {pushed.slug} {pushed.version} for {org_id}: {pushed.uri}")


@dep_app.command("list")
def list_packages(org: Org = "", as_json: AsJson = False) -> None:
    """List an org's packages, with what 'latest' means."""
    from dagy_queue.records.packages import packages_of_org

    org_id = org_of(org)
    found = packages_of_org(org_id)
    if as_json:
        print_json(found)
        return
    rows = [(each.slug, each.latest or "-", str(len(each.versions)), _pushed(each)) for each in found]
    empty = f"no package is registered for org {org_id}: `dagy-queue dep push PATH --version V --org {org_id}`"
    print_table(("PACKAGE", "LATEST", "VERSIONS", "PUSHED"), rows, empty)


@dep_app.command("show")
def show(name: Named, org: Org = "", as_json: AsJson = False) -> None:
    """Show a package with all of its versions, or one version."""
    from dagy_queue.records.packages import versions_of_package

    slug, version = split_version(name)
    found = versions_of_package(org_of(org), slug)
    if version:
        one = _version(found, version)
        print_json(one) if as_json else _print_version(one, found.latest)
    elif as_json:
        print_json(found)
    else:
        rows = [(*version_row(each, found.latest), each.uri) for each in found.versions]
        print_table(("VERSION", "", "STATUS", "PUSHED", "ARCHIVE"), rows, "")


@dep_app.command("deprecate")
def deprecate(
    name: OneVersion,
    org: Org = "",
    reason: Annotated[str, typer.Option(help="why")] = "",
    as_json: AsJson = False,
) -> None:
    """Have a version not installed any more; 'latest' means another one."""
    from dagy_queue.records.packages import deprecate_package

    slug, version = split_version(name, required=True)
    _print_status(deprecate_package(org_of(org), slug, version, reason), as_json)


@dep_app.command("activate")
def activate(name: OneVersion, org: Org = "", as_json: AsJson = False) -> None:
    """Allow a deprecated version again."""
    from dagy_queue.records.packages import activate_package

    slug, version = split_version(name, required=True)
    _print_status(activate_package(org_of(org), slug, version), as_json)


def _version(found: PackageVersions, version: str) -> DepPackage:
    from dagy_queue.errors import PackageNotFound

    if one := chosen(found.versions, version, found.latest):
        return one
    raise PackageNotFound(f"package {found.slug!r} {no_such(version, found.versions)}")


def _print_version(one: DepPackage, latest: str) -> None:
    print_fields(
        [
            ("package", one.slug),
            ("version", version_words(one, latest)),
            ("status", status_words(one)),
            ("pushed", when(one.registered_at)),
            ("archive", one.uri),
            ("sha256", one.sha256),
        ]
    )


def _print_status(one: DepPackage, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        typer.echo(f"{one.slug} {one.version}: {status_words(one)}")


def _pushed(package: PackageVersions) -> str:
    return when(package.versions[0].registered_at) if package.versions else ""
