"""docs/metrics.md as it stands: each metric that it names is served with these labels, and its alerts use no others."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from dagy_queue import ContainerRequest, launch
from dagy_queue.local.free_port import free_port
from tests.docs.snippets import BIN, ROOT, blocks, fetched
from tests.integration.conftest import stack_of_its_own
from tests.integration.waiting import eventually

PAGE = ROOT / "docs" / "metrics.md"
STUB = ContainerRequest(org_id="acme", image="dagy-local/stub:latest")
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a bridge and a dispatcher serve."""

    bridge: str
    dispatcher: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start both with the page's variables, on free ports, and have them work."""
    (variables,) = blocks(PAGE, "bash")
    ports = {port: str(free_port()) for port in ("9464", "9465")}
    for port, free in ports.items():
        variables = variables.replace(port, free)
    bridge, dispatcher = (f"http://127.0.0.1:{free}/metrics" for free in ports.values())
    with stack_of_its_own(tmp_path_factory.mktemp("metrics")) as stack:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **stack.environment, "PATH": path}
        children = [
            subprocess.Popen(["bash", "-euc", f"{variables}\nexec dagy-queue {name}"], env=environment)
            for name in ("bridge", "dispatcher")
        ]
        try:
            # Its events come one by one: of two that wait together, the end may be applied first.
            eventually(lambda: "dagy_ledger_up 1.0" in fetched(bridge), "the bridge is there", PATIENCE)
            launch(STUB.model_copy(update={"command": ("1", "0")})).get(timeout=PATIENCE)
            going = launch(STUB.model_copy(update={"command": ("600", "0")}))
            eventually(lambda: 'step="submitted_to_running"} 2.0' in fetched(bridge), "both were counted", PATIENCE)
            yield Served(fetched(bridge), fetched(dispatcher))
            going.cancel()
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(timeout=60)


def named(section: str) -> dict[str, list[str]]:
    """Return the metrics that a section's tables name, with their labels."""
    text = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (found,) = [part for part in text if part.startswith(section)]
    cells = re.findall(r"^\| (`dagy_.*?) \|", found, re.MULTILINE)
    names = [each for cell in cells for each in re.findall(r"`(dagy_\w+)(?:\{([\w,]+)\})?`", cell)]
    return {name: labels.split(",") if labels else [] for name, labels in names}


def serves(page: str, name: str, labels: list[str]) -> None:
    """Check that a metric is there, and that each of its samples has these labels."""
    assert re.search(rf"^# TYPE {name} ", page, re.MULTILINE), name
    samples = re.findall(rf"^{name}(?:_count)?(?:\{{(.*)\}})? \S+$", page, re.MULTILINE)
    assert all(re.findall(r"(\w+)=", sample) == labels for sample in samples), f"{name}: {samples}"


def test_a_bridge_serves_what_the_page_names(served: Served) -> None:
    metrics = named("Of a bridge")
    assert len(metrics) > 10
    for name, labels in metrics.items():
        serves(served.bridge, name, labels)


def test_a_dispatcher_serves_what_the_page_names(served: Served) -> None:
    metrics = named("Of a dispatcher")
    assert len(metrics) > 5
    for name, labels in metrics.items():
        serves(served.dispatcher, name, labels)


def test_they_count_what_has_happened(served: Served) -> None:
    for sample in (
        'dagy_in_flight_tasks{cluster="us-east-1/dagy",org="acme"} 1.0',
        'dagy_attempts_ended_total{kind="succeeded"} 1.0',
        'dagy_runs_ended_total{status="SUCCEEDED"} 1.0',
        'dagy_run_step_seconds_count{step="running_to_stopped"} 1.0',
        'dagy_rate_factor{region="us-east-1"} 1.0',
        "dagy_ledger_up 1.0",
    ):
        assert f"\n{sample}\n" in served.bridge
    assert "\ndagy_launches_total 2.0\n" in served.dispatcher


def test_its_alerts_ask_for_metrics_and_labels_that_are_served(served: Served) -> None:
    (text,) = blocks(PAGE, "yaml")
    both = served.bridge + served.dispatcher
    (group,) = yaml.safe_load(text)["groups"]
    for rule in group["rules"]:
        expression = rule["expr"]
        assert expression.count("(") == expression.count(")")
        for name, labels in re.findall(r"(dagy_\w+)(?:\{(.*?)\})?", expression):
            assert re.search(rf"^{name}[ {{]", both, re.MULTILINE), f"{rule['alert']}: {name}"
            assert not labels or re.search(rf"^{name}\{{.*{re.escape(labels)}", both, re.MULTILINE), rule["alert"]
