"""All settings, in sections; every process of the product starts by reading them, in the same order.

The lowest first: built-in defaults, the settings file (``DAGY_QUEUE_CONFIG``, else ``dagy-queue.toml`` in the working
directory), the flat ``DAGY_*`` names of Dagy's guide (:data:`FLAT_NAMES`), ``DAGY_QUEUE__<SECTION>__<KEY>``, and what
code gives to :func:`load_settings`. Each setting takes the highest level that names it.
"""

from dagy_queue.settings.cloud import AwsSettings, EcsSettings, RecordsSettings, StorageSettings
from dagy_queue.settings.fields import Section
from dagy_queue.settings.loading import current_origins, load_settings, read_settings, settings
from dagy_queue.settings.names import FLAT_NAMES
from dagy_queue.settings.origins import Origin, origins
from dagy_queue.settings.queue import CelerySettings, RedisSettings
from dagy_queue.settings.sections import Settings
from dagy_queue.settings.services import ApiSettings, BridgeSettings, DispatchSettings, LaunchSettings, MonitorSettings

__all__ = [
    "FLAT_NAMES",
    "ApiSettings",
    "AwsSettings",
    "BridgeSettings",
    "CelerySettings",
    "DispatchSettings",
    "EcsSettings",
    "LaunchSettings",
    "MonitorSettings",
    "Origin",
    "RecordsSettings",
    "RedisSettings",
    "Section",
    "Settings",
    "StorageSettings",
    "current_origins",
    "load_settings",
    "origins",
    "read_settings",
    "settings",
]
