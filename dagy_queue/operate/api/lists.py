"""Lists of runs over HTTP, from the record: an org's, a flow's, a batch's, and those of a correlation id."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.operate.api.auth import ReadersOrg
from dagy_queue.operate.api.desk import Answer
from dagy_queue.operate.api.schemas import REFUSALS_OF_LISTS
from dagy_queue.records import run_queries as queries

router = APIRouter(tags=["runs"])


class RunQuery(BaseModel):
    """Which runs are asked for. Of batch_id, correlation_id and flow_name one may be given."""

    model_config = ConfigDict(extra="forbid")

    org_id: str = Field("", description="whose runs; with a token it may be left out")
    status: list[str] = Field([], description=f"{', '.join(queries.STATUSES)}; several times for any of several")
    flow_name: str = ""
    batch_id: str = ""
    correlation_id: str = Field("", description="this one, and those of the shards below it")
    since: AwareDatetime | None = Field(None, description="created at or after")
    until: AwareDatetime | None = Field(None, description="created at or before")
    limit: int = Field(100, ge=1, le=queries.MOST_RUNS)
    after: str = Field("", description="`after` of the page before")


@router.get("/runs", response_model=queries.RunPage, responses=REFUSALS_OF_LISTS)
def list_runs(org_id: ReadersOrg, query: Annotated[RunQuery, Query()]) -> Answer:
    """List an org's runs, the newest first; those of a batch or a correlation id in the order of their shards.

    A page may have fewer runs than `limit` although more follow: `after` is empty on the last page only. The list lags
    behind a run by a moment; `/runs/{run_id}` does not.
    """
    if not org_id:
        raise RequestInvalid([Problem("org_id", org_id, "the org whose runs are meant")], "question")
    page = queries.runs_asked_for(
        org_id,
        batch_id=query.batch_id,
        correlation_id=query.correlation_id,
        flow_name=query.flow_name,
        wanted=queries.RunFilter(statuses=tuple(query.status), since=query.since, until=query.until),
        limit=query.limit,
        after=query.after,
    )
    return Answer(asdict(page))
