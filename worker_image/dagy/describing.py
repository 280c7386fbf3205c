"""The spec of a flow, from the flow itself. The build writes it into the artifact; ``dagy validate`` shows it."""

from __future__ import annotations

from dagy.checks import NAME_RULE, is_name
from dagy.dags import DAG
from dagy.errors import BuildError, DagyError
from dagy.flow_options import check_version
from dagy.flows import Flow
from dagy.graph import Graph, Plan
from dagy.spec import Entrypoint, FlowSpec, TaskSpec


def describe(flow: Flow, entrypoint: Entrypoint, version: str | None = None, *, plan: Plan | None = None) -> FlowSpec:
    """Return the spec of a flow, with the graph of ``plan`` or of the flow's defaults.

    Raises BuildError for a flow that could not be registered, GraphError for one that can never run.
    """
    if not is_name(flow.name):
        raise BuildError(f"flow name={flow.name!r}: expected {NAME_RULE}; set one with name=")
    if version is not None:
        check_version(version)
    plan = plan or _typical_plan(flow)
    if isinstance(flow, DAG) and not flow.graph.nodes:
        raise BuildError(f"flow {flow.name!r} has no tasks: call them inside its `with` block")
    return FlowSpec(
        name=flow.name,
        version=version or flow.version,
        description=flow.description,
        tags=dict(flow.options.tags),
        fail_fast=flow.options.fail_fast,
        max_workers=flow.options.max_workers,
        parameters=flow.parameters(),
        tasks=None if plan is None else _tasks(plan.graph),
        outputs=None if plan is None else plan.graph.names_in(plan.returns),
        entrypoint=entrypoint,
    )


def _typical_plan(flow: Flow) -> Plan | None:
    """Return the plan of the defaults, or None if the flow's own code refuses those."""
    try:
        return flow.typical_plan()
    except DagyError:
        raise
    except Exception:  # noqa: BLE001 - whatever the flow's code raises
        return None


def _tasks(graph: Graph) -> tuple[TaskSpec, ...]:
    return tuple(
        TaskSpec(
            name=node.name,
            task=node.task.name,
            function=getattr(node.task.function, "__qualname__", node.task.name),
            upstream=node.upstream,
            options=node.task.options.as_json(),
        )
        for node in graph.nodes.values()
    )
