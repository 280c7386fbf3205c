"""A batch of trivial flows on the local stack, every process real, beside the same flows in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from dagy.loader import load_flows
from dagy_queue import fan_out
from dagy_queue.operate.flows import push_flow
from scripts.benchmarks.figures import Figure, measured
from scripts.benchmarks.scene import running_scene

SHARDS = 100
FLOW = """
from dagy import flow, task

@task
def double(n: int) -> int:
    return 2 * n

@flow(name="trivial", version="1.0.0")
def trivial(n: int = 0):
    return double(n)
"""


def run() -> Iterator[Figure]:
    """Measure."""
    with TemporaryDirectory() as directory, running_scene() as scene:
        file = Path(directory) / "trivial.py"
        file.write_text(FLOW)
        push_flow(scene.stack.settings(), file, org_id="bench")
        fan_out(flow_name="trivial", org_id="bench", shards=[{}]).get(timeout=60)
        shards = [{"n": n} for n in range(SHARDS)]
        with measured() as watch:
            results = fan_out(flow_name="trivial", org_id="bench", shards=shards).get(timeout=120)
        assert results == [2 * n for n in range(SHARDS)]
        flow = load_flows(file)["trivial"]
        with measured() as inline:
            assert [flow.run(s) for s in shards] == results
    yield Figure(f"{SHARDS} trivial flows, each a container process", f"{watch.seconds:.1f} s", "under 15 s")
    yield Figure("the same flows one after the other in one process (baseline)", f"{inline.seconds:.2f} s")
