"""What all threads of a bridge share: what they count, what fails at present, and being told to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dagy_queue.bridge.metrics import BridgeMetrics
from dagy_queue.bridge.stopping import Stop
from dagy_queue.bridge.troubles import Troubles


@dataclass(frozen=True, slots=True)
class Shared:
    """One for each bridge."""

    metrics: BridgeMetrics
    troubles: Troubles
    stop: Stop

    @classmethod
    def fresh(cls) -> Self:
        """Return that of a bridge that begins."""
        metrics = BridgeMetrics()
        return cls(metrics, Troubles(metrics), Stop())
