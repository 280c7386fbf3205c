"""Everything that the ledger has, read in one round trip, and what it must be by the model, in the same form.

``test_admission_model.py`` compares the two after every rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from dagy_queue.ledger import Phase, RedisConnection, RunStatus
from tests.integration.ledger.admission_model import Batch, Model, Run

POOLS = [
    "us-east-1/dagy|FARGATE",
    "us-east-1/dagy|FARGATE+FARGATE_SPOT",
    "us-east-1/other|FARGATE",
    "eu-west-1/dagy|EC2",
]
ORGS = ["acme", "beta", "coop"]
CLUSTERS = sorted({pool.partition("|")[0] for pool in POOLS})
RESUMED, FAN_OUT = "resumed", "fan-out"
FINAL = {status: Phase(status.value) for status in RunStatus if status.is_final}


def places_of(run: Run) -> list[str]:
    """Where a run must be found, and nowhere else."""
    found = [run.place] if run.place else []
    found += ["leases"] if run.phase is Phase.SUBMITTING and run.leader is None else []
    found += ["stops"] if run.must_stop else []
    return found + (["deadlines"] if run.has_clock else [])


def everything_of(model: Model) -> dict[str, Any]:
    """Return what must be in the ledger."""
    runs, batches = model.runs.values(), model.batches
    return {
        "places": Counter((run.run_id, place) for run in runs for place in places_of(run)),
        "phases": {run.run_id: (run.phase.value, "1" if run.late else None) for run in runs},
        "slots": {cluster: {k: v for k, v in model.slots(cluster).items() if v} for cluster in CLUSTERS},
        "windows": {batch.batch_id: len(batch.inside) for batch in batches},
        "counts": {batch.batch_id: dict(Counter(run.phase.value for run in batch.shards)) for batch in batches},
        "resumed": sum(run.resumed for run in runs),
        "ended": sum(all(run.phase in FINAL.values() for run in batch.shards) for batch in batches),
    }


def everything_in(connection: RedisConnection, model: Model) -> dict[str, Any]:
    """Read all of the ledger; tasks whose launch was not recorded belong to no run, and are left out."""
    key = connection.key
    lanes = [key("lane", pool, org) for pool in POOLS for org in ORGS]
    windows = [key("batch", batch.batch_id, "waiting") for batch in model.batches]
    sets = [*((lane, "lane") for lane in lanes), *((window, "window") for window in windows)]
    sets += [(key(name), name) for name in ("delayed", "leases", "stops", "deadlines")]
    pipeline = connection.client.pipeline(transaction=False)
    for name, _ in sets:
        pipeline.zrange(name, 0, -1)
    for run_id in model.runs:
        pipeline.hmget(key("run", run_id), "phase", "late")
    for cluster in CLUSTERS:
        pipeline.hgetall(key("slots", cluster))
    for batch in model.batches:
        pipeline.hget(key("batch", batch.batch_id), "inside")
        pipeline.hgetall(key("batch", batch.batch_id, "counts"))
    pipeline.llen(RESUMED).lrange(FAN_OUT, 0, -1)
    answers = iter(pipeline.execute())
    members = [(run_id, place) for _, place in sets for run_id in next(answers)]
    return {
        "places": Counter(each for each in members if not each[0].startswith("task:")),
        "phases": {run_id: tuple(next(answers)) for run_id in model.runs},
        "slots": {cluster: _counted(next(answers)) for cluster in CLUSTERS},
        **_of_batches(model.batches, answers),
        "resumed": next(answers),
        "ended": next(answers).count("end"),
    }


def marks_in(connection: RedisConnection) -> dict[str, tuple[str, bool]]:
    """Return the run that is remembered as too large in each cluster, and whether it has waited long enough."""
    found = {}
    for cluster in CLUSTERS:
        mark = connection.client.hgetall(connection.key("large", cluster))
        if mark:
            found[cluster] = (mark["run"], mark["since"] == "0")  # type: ignore[index]
    return found


def _counted(fields: dict[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items() if int(value)}


def _of_batches(batches: list[Batch], answers: Iterator[Any]) -> dict[str, Any]:
    windows, counts = {}, {}
    for batch in batches:
        windows[batch.batch_id] = int(next(answers) or 0)
        counts[batch.batch_id] = _counted(next(answers))
    return {"windows": windows, "counts": counts}
