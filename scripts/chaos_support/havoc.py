"""What goes wrong while the runs go on: processes and Redis killed at random, and ECS misbehaving in bursts."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

from dagy_queue.local.processes import Child
from dagy_queue.local.stack import LocalStack
from scripts.chaos_support.options import Options

STEADY = {
    "events": {
        "duplicate_probability": 0.2,
        "lose_probability": 0.02,
        "reorder_probability": 0.1,
        "reorder_seconds": 0.5,
    },
    "operations": {"RunTask": {"drop_answer_probability": 0.02}},
}
BURSTS = ("throttle_probability", "hidden_throttle_probability", "capacity_probability", "server_error_probability")
BURST_EVERY, BURST_SECONDS, BURST_SHARE = 5.0, 2.0, 0.7
"""A burst refuses this share of the calls while it lasts. (So many calls, instead, would all hit the last runs.)"""
PROCESS_SETTINGS = {
    "DISPATCH__LEASE_SECONDS": "3",
    "DISPATCH__THROTTLE_DELAY": "0.1",
    "DISPATCH__VISIBILITY_TIMEOUT": "3600",
    "BRIDGE__WAIT_SECONDS": "2",
    "BRIDGE__VISIBILITY_TIMEOUT": "5",
    "RECONCILER__INTERVAL": "0.5",
    "RECONCILER__SILENCE": "5",
    "RECONCILER__MISSING_GRACE": "10",
    "RECONCILER__MESSAGE_PATIENCE": "3",
    "RECONCILER__LONGEST_PASS": "15",
    "RECONCILER__SEARCH_AFTER": "1",
    "RECONCILER__SWEEP_INTERVAL": "20",
    "RECORDS__ENABLED": "false",
}
"""Everything that waits for something to be overdue waits seconds instead of minutes."""


class Havoc:
    """Starts the processes, and kills them until it is stopped."""

    def __init__(self, stack: LocalStack, options: Options, rng: random.Random) -> None:
        self._stack = stack
        self._options = options
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="havoc", daemon=True)
        self._labels = [f"dispatcher-{n}" for n in range(options.dispatchers)]
        self._labels += [f"bridge-{n}" for n in range(options.bridges)]
        self.done: Counter[str] = Counter()
        self.failure: Exception | None = None

    def start_processes(self) -> None:
        """Start dispatchers and bridges."""
        for label in self._labels:
            self._spawn(label)

    def start(self) -> None:
        """Begin."""
        self._stack.admin("faults", {**STEADY, "seed": self._options.seed})
        self._thread.start()

    def stop(self) -> None:
        """End: everything runs, and ECS behaves."""
        self._stopping.set()
        self._thread.join(60)
        if self.failure:
            raise self.failure
        self._stack.admin("faults", {"operations": {"RunTask": {"drop_answer_probability": 0.0}}})

    def _spawn(self, label: str) -> Child:
        environment = {f"DAGY_QUEUE__{name}": value for name, value in PROCESS_SETTINGS.items()}
        return self._stack.spawn(label.partition("-")[0], "--log-level=warning", label=label, environment=environment)

    def _run(self) -> None:
        plan = {
            self._kill: self._options.kill_every,
            self._kill_redis: self._options.redis_every,
            self._burst: BURST_EVERY,
        }
        due = {deed: time.monotonic() + self._rng.expovariate(1 / mean) for deed, mean in plan.items()}
        while not self._stopping.wait(0.05):
            for deed, mean in plan.items():
                if time.monotonic() >= due[deed]:
                    try:
                        deed()
                    except Exception as exc:  # noqa: BLE001 - raised where the havoc is awaited
                        self.failure = exc
                        return
                    due[deed] = time.monotonic() + self._rng.expovariate(1 / mean)

    def _kill(self) -> None:
        """Kill a process and start its successor at once; some are frozen for a moment before."""
        label = self._rng.choice(self._labels)
        [victim] = [child for child in self._stack.children if child.name == label]
        if self._rng.random() < 0.3:
            os.kill(victim.pid, signal.SIGSTOP)
            self._stopping.wait(0.2)
        victim.kill()
        self.done[f"{label.partition('-')[0]} killed"] += 1
        self._spawn(label)

    def _kill_redis(self) -> None:
        self._stack.redis.kill()
        self._stopping.wait(self._rng.uniform(0, 1))
        self._stack.redis.restart()
        self.done["Redis killed"] += 1

    def _burst(self) -> None:
        kind = self._rng.choice(BURSTS)
        self._stack.admin("faults", {"operations": {"RunTask": {kind: BURST_SHARE}}})
        self._stopping.wait(BURST_SECONDS)
        self._stack.admin("faults", {"operations": {"RunTask": {kind: 0.0}}})
        self.done["bursts of refusals"] += 1
