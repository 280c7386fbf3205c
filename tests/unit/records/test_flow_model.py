"""FlowModel as the guide uses it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.records.flows import RegisteredFlow, find_flow
from dagy_queue.records.models import FlowModel

pytestmark = pytest.mark.usefixtures("tables")

SPEC = {"name": "etl_pipeline", "tasks": [{"name": "extract"}]}


def model(**changes: Any) -> FlowModel:
    """Return the guide's flow."""
    fields = {
        "flow_name": "etl_pipeline",
        "flow_version": "1.0.0",
        "org_id": "acme-corp",
        "spec": json.dumps(SPEC),
        "artifact_s3_uri": "s3://your-artifact-bucket/flows/etl_pipeline/1.0.0/artifact.zip",
    }
    return FlowModel(**fields | changes)


def registered(version: str = "latest") -> RegisteredFlow | None:
    return find_flow("acme-corp", "etl_pipeline", version)


def test_a_saved_flow_can_be_launched_by_its_version_and_as_latest() -> None:
    model().save()
    assert (
        registered("1.0.0")
        == registered()
        == RegisteredFlow(
            org_id="acme-corp",
            name="etl_pipeline",
            version="1.0.0",
            artifact_uri="s3://your-artifact-bucket/flows/etl_pipeline/1.0.0/artifact.zip",
            artifact_sha256="",
        )
    )


def test_latest_is_the_version_saved_last() -> None:
    model().save()
    model(flow_version="2.0.0").save()
    assert registered() == registered("2.0.0")


@pytest.mark.parametrize("spec", [{"spec": SPEC}, {"spec": json.dumps(SPEC)}, {"spec": None, "flow_spec_json": SPEC}])
def test_a_spec_may_be_text_or_a_mapping_under_either_name(spec: dict[str, Any]) -> None:
    model(**spec).save()
    assert FlowModel.get("acme-corp#etl_pipeline", "1.0.0").flow_spec_json == SPEC


@pytest.mark.parametrize("spec", ["{", "[]", 7, {"a": float("nan")}, {"a": object()}])
def test_a_spec_that_is_no_json_object_is_refused(spec: Any) -> None:
    with pytest.raises(RequestInvalid, match="spec"):
        model(spec=spec)


@pytest.mark.parametrize(
    "change",
    [
        {"flow_name": "a#b"},
        {"flow_name": "../etl"},
        {"org_id": ""},
        {"org_id": "a/b"},
        {"flow_version": "latest"},
        {"flow_version": None},
        {"artifact_s3_uri": ""},
        {"artifact_s3_uri": "s3://bucket"},
        {"artifact_s3_uri": "https://bucket/key"},
    ],
)
def test_what_could_not_be_launched_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid, match=next(iter(change))):
        model(**change).save()
    assert registered() is None


@pytest.mark.parametrize(
    "change", [{"artifact_s3_uri": "s3://bucket/other.zip"}, {"spec": {}}, {"artifact_sha256": "0" * 64}]
)
def test_a_version_never_changes(change: dict[str, Any]) -> None:
    model().save()
    before = registered()
    with pytest.raises(RequestInvalid, match=r"versions are immutable; choose a new version"):
        model(**change).save()
    assert registered() == before


def test_a_version_may_be_saved_again_with_other_notes() -> None:
    model().save()
    model(status="INACTIVE", tags={"team": "data"}, namespace="etl").save()
    saved = FlowModel.get("acme-corp#etl_pipeline", "latest")
    assert (saved.status, saved.tags, saved.namespace) == ("INACTIVE", {"team": "data"}, "etl")


def test_what_was_read_may_be_saved_again() -> None:
    model().save()
    FlowModel.get("acme-corp#etl_pipeline", "1.0.0").save()
    assert registered("1.0.0") == registered()


def test_a_registration_has_its_time() -> None:
    model().save()
    registered_at = FlowModel.get("acme-corp#etl_pipeline", "1.0.0").registered_at
    assert timedelta() <= datetime.now(UTC) - registered_at < timedelta(minutes=1)
