"""``dagy-queue deployment``: where runs are at home, set and looked at.

``operate/cli.py`` adds the commands. Like its own, they import what they need when they run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dagy_queue.operate.commands.parts import AsJson, group
from dagy_queue.operate.commands.registry_parts import Org, org_of, pairs, print_fields, print_json, print_table

if TYPE_CHECKING:
    from dagy_queue.records.deployments import Deployment

deployment_app = group("Set deployments and look at them.")

Environment = Annotated[str, typer.Option(help="environment; default: it fits every one")]


@deployment_app.command("set")
def set_deployment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the deployment")],
    org: Org = "",
    shared: Annotated[bool, typer.Option("--shared", help="for all orgs, instead of one")] = False,
    environment: Environment = "",
    package: Annotated[
        list[str] | None, typer.Option(help="SLUG or SLUG@VERSION; as often as there are packages, in their order")
    ] = None,
    default: Annotated[
        list[str] | None, typer.Option(help="field=value of launches, a value that is JSON being read as that")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a deployment: what its runs get. One that is there is replaced as a whole."""
    from dagy_queue.records.deployments import deployment_of
    from dagy_queue.records.models import DeploymentModel

    if shared and org:
        raise typer.BadParameter("say --org or --shared, not both")
    model = DeploymentModel(
        deployment_name=name,
        environment=environment,
        org_id="" if shared else org_of(org),
        dep_package_slugs=list(package or ()),
        defaults={key: _value(text) for key, text in pairs(default or ()).items()},
    )
    model.save()
    _print_one(deployment_of(model), as_json)


@deployment_app.command("list")
def list_deployments(org: Org = "", as_json: AsJson = False) -> None:
    """List the deployments that an org's runs can have: its own, and those that all orgs share."""
    from dagy_queue.records.deployments import deployments_of_org

    org_id = org_of(org)
    found = deployments_of_org(org_id)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.name,
            each.environment or "(any)",
            "all orgs" if each.is_shared else org_id,
            ", ".join(each.package_slugs),
        )
        for each in found
    ]
    empty = f"no deployment is there for org {org_id}: `dagy-queue deployment set NAME --org {org_id}`"
    print_table(("DEPLOYMENT", "ENVIRONMENT", "OWNER", "PACKAGES"), rows, empty)


@deployment_app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="name of the deployment")],
    org: Org = "",
    environment: Annotated[str, typer.Option(help="environment of the run")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the deployment that a run of an org would get."""
    from dagy_queue.records.deployments import get_deployment

    _print_one(get_deployment(org_of(org), name, environment), as_json)


def _print_one(one: Deployment, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    print_fields(
        [
            ("deployment", one.name),
            ("environment", one.environment or "(any)"),
            ("shared", "by all orgs" if one.is_shared else ""),
            ("packages", ", ".join(one.package_slugs)),
            ("defaults", json.dumps(dict(one.defaults), ensure_ascii=False) if one.defaults else ""),
        ]
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
