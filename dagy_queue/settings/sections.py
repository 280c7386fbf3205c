"""All sections of the settings together, and what must be so between them.

``docs/settings.md`` is made from this module and those that it takes the sections from: ``queue.py``, ``cloud.py`` and
``services.py``.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from dagy_queue.settings.cloud import AwsSettings, EcsSettings, RecordsSettings, StorageSettings
from dagy_queue.settings.fields import LevelFields, Section
from dagy_queue.settings.queue import CelerySettings, RedisSettings
from dagy_queue.settings.services import (
    ApiSettings,
    BridgeSettings,
    DispatchSettings,
    LaunchSettings,
    LimitSettings,
    MonitorSettings,
    ReconcilerSettings,
)

_LEAST_TIMEOUTS_KEPT = 2
"""Visibility timeouts for which a finished run stays in the ledger at least: one until its message comes again, and as
long once more for that to wait in its queue."""


class Settings(Section):
    """Every setting of the product. ``Settings()`` is the defaults; :func:`load_settings` reads the rest."""

    redis: RedisSettings = RedisSettings()
    celery: CelerySettings = CelerySettings()
    aws: AwsSettings = AwsSettings()
    ecs: EcsSettings = EcsSettings()
    storage: StorageSettings = StorageSettings()
    records: RecordsSettings = RecordsSettings()
    bridge: BridgeSettings = BridgeSettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    monitor: MonitorSettings = MonitorSettings()
    dispatch: DispatchSettings = DispatchSettings()
    limits: LimitSettings = LimitSettings()
    launch: LaunchSettings = LaunchSettings()
    api: ApiSettings = ApiSettings()
    profiles: dict[str, LevelFields] = Field({}, description="execution profiles: request fields by name")
    environments: dict[str, LevelFields] = Field(
        {}, description="defaults by environment: request fields by the environment's name"
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self._check_how_long_runs_are_known()
        self._check_tables()
        return self

    def _check_how_long_runs_are_known(self) -> None:
        """A message comes again up to its visibility timeout later: the ledger must still know that its run is over."""
        least = _LEAST_TIMEOUTS_KEPT * self.dispatch.visibility_timeout
        if self.redis.finished_ttl < least:
            raise _together(
                "redis.finished_ttl",
                self.redis.finished_ttl,
                f"at least {least}, twice dispatch.visibility_timeout: the broker delivers a message "
                "again that late, and a run that the ledger has forgotten by then would be launched again",
            )

    def _check_tables(self) -> None:
        """Each model has keys of its own, so none can share its table with another."""
        used: dict[str, str] = {}
        for setting in RecordsSettings.model_fields:
            if setting.endswith("_table"):
                name = getattr(self.records, setting)
                if name in used:
                    raise _together(
                        f"records.{setting}", name, f"a table of its own: {name!r} is records.{used[name]} already"
                    )
                used[name] = setting


def _together(setting: str, value: object, allowed: str) -> PydanticCustomError:
    """Return the error of a setting that does not go with another."""
    return PydanticCustomError("together", "{allowed}", {"setting": setting, "value": value, "allowed": allowed})


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""The sections with fixed keys, by name."""

NAMED_SETS = tuple(name for name in Settings.model_fields if name not in SECTIONS)
"""The sections whose keys are the user's: profiles and environments."""
