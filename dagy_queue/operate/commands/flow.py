"""``dagy-queue flow``: pushing flows to the registry, looking at them, deprecating versions.

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
    pairs,
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
    from dagy_queue.records.flows import FlowVersions, RegisteredFlow

flow_app = group("Register flows and look at them.")

Named = Annotated[str, typer.Argument(metavar="NAME", help="NAME or NAME@VERSION")]
OneVersion = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="the version")]


def _existing(file: Path) -> Path:
    """Refuse a file that is not there; where it is FILE:NAME, as ``dagy`` has it, with how it is said here."""
    if file.exists():
        return file
    path, _, flow = str(file).rpartition(":")
    if flow and Path(path).is_file():
        raise typer.BadParameter(f"{str(file)!r}: name the file alone, and the flow by --flow: {path} --flow {flow}")
    raise typer.BadParameter(f"file {str(file)!r} does not exist.")


@flow_app.command("push")
def push(  # noqa: PLR0913, PLR0917 - one parameter an option
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            callback=_existing,
            help="Python file that defines the flow, or a built artifact",
        ),
    ],
    org: Org = "",
    version: Annotated[str | None, typer.Option(help="version; default: the flow's own")] = None,
    flow: Annotated[str | None, typer.Option(help="which flow, if the file has several")] = None,
    deployment: Annotated[str, typer.Option(help="deployment of runs that name none")] = "",
    namespace: Annotated[str, typer.Option(help="a name to group flows by, for people")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="key=value, for people; as often as you like")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a flow's artifact, or take a built one, upload it and register the version as the latest."""
    from dagy_queue.operate.flows import FlowNotes, push_flow
    from dagy_queue.settings import settings

    notes = FlowNotes(deployment_name=deployment, namespace=namespace, tags=pairs(tag or ()))
    pushed = push_flow(settings(), file, org_id=org_of(org), version=version, flow=flow, notes=notes)
    if as_json:
        print_json(pushed)
    else:
        typer.echo(f"registered {pushed.name} {pushed.version} for {pushed.org_id}: {pushed.artifact_uri}")
    _note_missing_deployment(pushed)


@flow_app.command("list")
def list_flows(org: Org = "", as_json: AsJson = False) -> None:
    """List an org's flows, with what 'latest' means."""
    from dagy_queue.records.flows import flows_of_org

    org_id = org_of(org)
    found = flows_of_org(org_id)
    if as_json:
        print_json(found)
        return
    rows = [(each.name, each.latest or "-", str(len(each.versions)), _pushed(each)) for each in found]
    empty = f"no flow is registered for org {org_id}: `dagy-queue flow push FILE --org {org_id}`"
    print_table(("FLOW", "LATEST", "VERSIONS", "PUSHED"), rows, empty)


@flow_app.command("show")
def show(
    name: Named,
    org: Org = "",
    spec: Annotated[bool, typer.Option("--spec", help="print the flow's spec alone, as JSON")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a flow with all of its versions, or one version."""
    from dagy_queue.records.flows import get_flow_spec, versions_of_flow

    flow_name, version = split_version(name)
    org_id = org_of(org)
    if spec:
        print_json(get_flow_spec(org_id, flow_name, version or "latest"))
        return
    found = versions_of_flow(org_id, flow_name)
    if version:
        one = _version(found, version, org_id)
        print_json(one) if as_json else _print_version(one, found.latest)
    elif as_json:
        print_json(found)
    else:
        rows = [version_row(each, found.latest) for each in found.versions]
        print_table(("VERSION", "", "STATUS", "PUSHED"), rows, "")


@flow_app.command("deprecate")
def deprecate(
    name: OneVersion,
    org: Org = "",
    reason: Annotated[str, typer.Option(help="why; people who launch it are told")] = "",
    as_json: AsJson = False,
) -> None:
    """Have a version not launched any more; 'latest' means another one. Runs that have begun go on with it."""
    from dagy_queue.records.flows import deprecate_flow

    flow_name, version = split_version(name, required=True)
    _print_status(deprecate_flow(org_of(org), flow_name, version, reason), as_json)


@flow_app.command("activate")
def activate(name: OneVersion, org: Org = "", as_json: AsJson = False) -> None:
    """Allow a deprecated version again."""
    from dagy_queue.records.flows import activate_flow

    flow_name, version = split_version(name, required=True)
    _print_status(activate_flow(org_of(org), flow_name, version), as_json)


def _version(found: FlowVersions, version: str, org_id: str) -> RegisteredFlow:
    from dagy_queue.errors import FlowNotFound

    if one := chosen(found.versions, version, found.latest):
        return one
    raise FlowNotFound(f"flow {found.name!r} of org {org_id!r} {no_such(version, found.versions)}")


def _print_version(one: RegisteredFlow, latest: str) -> None:
    print_fields(
        [
            ("flow", one.name),
            ("org", one.org_id),
            ("version", version_words(one, latest)),
            ("status", status_words(one)),
            ("pushed", when(one.registered_at)),
            ("artifact", one.artifact_uri),
            ("sha256", one.artifact_sha256),
            ("deployment", one.deployment_name),
            ("namespace", one.namespace),
            ("tags", ", ".join(f"{key}={value}" for key, value in one.tags.items())),
        ]
    )


def _note_missing_deployment(flow: RegisteredFlow) -> None:
    """Say so where runs would be refused: the deployment may be set after the push."""
    from dagy_queue.errors import AwsError
    from dagy_queue.operate.output import note
    from dagy_queue.records.deployments import is_registered

    name = flow.deployment_name
    try:
        is_missing = name and not is_registered(flow.org_id, name)
    except AwsError:  # who may push need not be allowed to read deployments
        return
    if is_missing:
        note(
            f"note: org {flow.org_id} has no deployment {name!r} yet, and its runs are refused until "
            f"`dagy-queue deployment set {name} --org {flow.org_id}`"
        )


def _print_status(one: RegisteredFlow, as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        typer.echo(f"{one.name} {one.version} of {one.org_id}: {status_words(one)}")


def _pushed(flow: FlowVersions) -> str:
    return when(flow.versions[0].registered_at) if flow.versions else ""
