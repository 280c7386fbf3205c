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


@pytest.mark.parametrize("tags", [{"a": object()}, {"a": float("nan")}, ["a"], "no JSON"])
def test_tags_that_are_no_json_object_are_refused(tags: Any) -> None:
    with pytest.raises(RequestInvalid, match="tags"):
        model(tags=tags).save()


def test_a_spec_that_no_item_can_hold_is_refused_with_the_way_out() -> None:
    tasks = [{"name": f"step-{n}", "description": "é" * 50} for n in range(2000)]
    with pytest.raises(
        RequestInvalid, match=r"spec = '2000 tasks in 6\d\d,\d{3} bytes': at most 380,000 bytes.* @flow"
    ):
        model(spec={"name": "etl_pipeline", "tasks": tasks}).save()
    assert registered() is None
    model(spec={"name": "etl_pipeline", "tasks": tasks[:1100]}).save()
    assert registered() is not None


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
        {"status": "RETIRED"},
        {"deployment_name": "a#b"},
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
    model(tags={"team": "data"}, namespace="etl", deployment_name="production").save()
    saved = FlowModel.get("acme-corp#etl_pipeline", "latest")
    assert (saved.tags, saved.namespace, saved.deployment_name) == ({"team": "data"}, "etl", "production")


def test_a_version_that_is_saved_as_inactive_is_kept_and_not_the_latest() -> None:
    model().save()
    model(flow_version="2.0.0", status="INACTIVE").save()
    assert registered() == registered("1.0.0")
    model(status="INACTIVE").save()
    assert registered() is None
    assert {registered(version).status for version in ("1.0.0", "2.0.0")} == {"INACTIVE"}


def test_what_was_read_may_be_saved_again() -> None:
    model().save()
    FlowModel.get("acme-corp#etl_pipeline", "1.0.0").save()
    assert registered("1.0.0") == registered()


def test_a_registration_has_its_time() -> None:
    model().save()
    registered_at = FlowModel.get("acme-corp#etl_pipeline", "1.0.0").registered_at
    assert timedelta() <= datetime.now(UTC) - registered_at < timedelta(minutes=1)
