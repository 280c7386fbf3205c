"""How a run ended and what to do about it; pure."""

from dagy_queue.outcomes.classify import classify_stop
from dagy_queue.outcomes.exit_codes import explain_worker_exit
from dagy_queue.outcomes.outcome import Kind, Outcome

__all__ = ["Kind", "Outcome", "classify_stop", "explain_worker_exit"]
