"""The container's side of dagy-queue: runs one attempt of one flow and reports how it went.

The contract with the dispatcher is ``dagy.contract``; the entry is ``dagy_worker.main``.
"""
