"""What Flower reads as its configuration file; ``dagy-queue flower`` names it, unless you give a ``--conf``.

In a file of your own, begin with ``from dagy_queue.operate.flower.config import *``. Flower takes every name here that
one of its options has; its environment variables (``FLOWER_...``) come before this file, its command line after it.
"""

from __future__ import annotations

import os

from dagy_queue.operate.flower.tasks import format_task

__all__ = ["format_task", "tasks_columns"]

tasks_columns = os.environ.get("FLOWER_TASKS_COLUMNS", "name,uuid,state,args,result,runtime,received")
