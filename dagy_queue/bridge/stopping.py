"""How the threads of a bridge are told to stop: politely first, and after the grace for good.

``bridge/service.py`` makes one and hands it to the consumers and to everything that works beside them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stop:
    """``asked``: begin nothing new. ``over``: what is still in hand is not waited for any more."""

    asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
