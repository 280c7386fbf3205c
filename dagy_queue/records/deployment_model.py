"""The model of a deployment. Users' programs save it; ``records/deployments.py`` reads it for launches.

Keys: the partition is the org that owns the deployment (``*`` for those that all orgs share), the sort key is
``<name>#<environment>``. So one name may exist once per environment, and one query finds all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from pynamodb.attributes import ListAttribute, UnicodeAttribute, UTCDateTimeAttribute
from pynamodb.expressions.condition import Condition

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.records.attributes import LATEST, ObjectAttribute, check, name_problems, read_object
from dagy_queue.records.base import BILLING, Record
from dagy_queue.requests import LaunchRequest
from dagy_queue.requests.names import NAME_RULE, is_name
from dagy_queue.requests.parsing import parse_request
from dagy_queue.settings import RecordsSettings

SHARED = "*"
"""The owner of deployments that all orgs share; no org can have this name."""

_OF_THE_RUN = frozenset(
    {
        "correlation_id",
        "deployment_name",
        "environment",
        "flow_name",
        "flow_version",
        "kind",
        "metadata",
        "org_id",
        "parameters",
        "profile",
        "trigger_source",
        "triggered_by",
    }
)
"""Fields that say which run it is: a deployment cannot give them."""

_AROUND_THE_LAUNCH = frozenset(
    {"capacity_provider_strategy", "cluster", "launch_type", "priority", "region", "timeout"}
)
"""Fields that count before the launch, when nobody looks at the deployment: where a run waits, and until when."""


def deployment_key(name: str, environment: str) -> str:
    """Return the sort key of a deployment."""
    return f"{name}#{environment}"


def split_slug(text: str) -> tuple[str, str]:
    """Read ``slug`` or ``slug@version``; without a version it is the latest. Raises RequestInvalid."""
    slug, at, version = text.partition("@") if isinstance(text, str) else ("", "", "")
    if not is_name(slug) or (at and not is_name(version)):
        raise RequestInvalid(
            [Problem("dep_package_slugs", text, f"slug or slug@version, each {NAME_RULE}")], "deployment"
        )
    return slug, version or LATEST


class DeploymentModel(Record):
    """Where runs are at home: the dependency packages they get, and defaults for fields of their requests.

    Without an ``org_id`` all orgs share it; the packages are always looked up for the run's own org. A slug may pin a
    version, ``my-deps@1.0.0``. ``defaults`` are fields of a launch request, such as ``workload_profile`` or
    ``max_retries``.
    Saving again replaces the deployment.
    """

    table_setting: ClassVar[str] = "deployments_table"

    class Meta:
        """Bound to a table and region by ``bind_models``."""

        table_name = RecordsSettings().deployments_table
        billing_mode = BILLING

    owner = UnicodeAttribute(hash_key=True)
    deployment_id = UnicodeAttribute(range_key=True)
    deployment_name = UnicodeAttribute()
    environment = UnicodeAttribute(default="")
    org_id = UnicodeAttribute(default="")
    dep_package_slugs: ListAttribute[str] = ListAttribute(default=list)
    defaults = ObjectAttribute(default=dict)
    updated_at = UTCDateTimeAttribute(default_for_new=lambda: datetime.now(UTC))

    def __init__(self, hash_key: Any = None, range_key: Any = None, **attributes: Any) -> None:
        """Take the fields by name; the keys are composed of org, name and environment."""
        if attributes.get("defaults") is not None:
            attributes["defaults"] = read_object(attributes["defaults"], "defaults")
        super().__init__(hash_key, range_key, **attributes)
        if self.owner is None and self.deployment_name:
            self._set_keys()

    def save(self, condition: Condition | None = None, *, add_version_condition: bool = True) -> dict[str, Any]:
        """Write the deployment. Raises RequestInvalid listing every problem, or an AwsError."""
        names = {"deployment_name": self.deployment_name, "environment": self.environment, "org_id": self.org_id}
        given = {what: name for what, name in names.items() if name or what == "deployment_name"}
        check("deployment", name_problems(**given), self._slug_problems(), self._default_problems())
        self._set_keys()
        return super().save(condition, add_version_condition=add_version_condition)

    def _set_keys(self) -> None:
        self.owner = self.org_id or SHARED
        self.deployment_id = deployment_key(self.deployment_name, self.environment)

    def _slug_problems(self) -> Iterable[Problem]:
        if not isinstance(self.dep_package_slugs, list | tuple):
            yield Problem("dep_package_slugs", self.dep_package_slugs, "a list of slugs")
            return
        for slug in self.dep_package_slugs:
            try:
                split_slug(slug)
            except RequestInvalid as exc:
                yield from exc.problems

    def _default_problems(self) -> Iterable[Problem]:
        for name in sorted((_OF_THE_RUN | _AROUND_THE_LAUNCH) & self.defaults.keys()):
            yield Problem(f"defaults.{name}", self.defaults[name], "nothing: every run says this itself")
        fields = {name: value for name, value in self.defaults.items() if name not in _OF_THE_RUN | _AROUND_THE_LAUNCH}
        try:
            parse_request({"org_id": "any", "flow_name": "any", **fields}, LaunchRequest)
        except RequestInvalid as exc:
            yield from (Problem(f"defaults.{p.field}", p.value, p.allowed) for p in exc.problems)
