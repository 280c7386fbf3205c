"""The ledger: the live state of every run and batch in Redis, changed only by atomic Lua scripts."""

from dagy_queue.ledger.admission import AdmissionLedger, Grant, Granted, Released
from dagy_queue.ledger.batches import BatchLedger, BatchRecord
from dagy_queue.ledger.connection import RedisConnection
from dagy_queue.ledger.entries import RunEntry
from dagy_queue.ledger.phases import Phase, RunStatus
from dagy_queue.ledger.publications import Continuation, Following
from dagy_queue.ledger.runs import Cancelled, Parked, RunLedger

__all__ = [
    "AdmissionLedger",
    "BatchLedger",
    "BatchRecord",
    "Cancelled",
    "Continuation",
    "Following",
    "Grant",
    "Granted",
    "Parked",
    "Phase",
    "RedisConnection",
    "Released",
    "RunEntry",
    "RunLedger",
    "RunStatus",
]
