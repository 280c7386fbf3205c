"""The flow in the pictures: a month's sales. One month has none; some take as long as the pictures do."""

from __future__ import annotations

import time

from dagy import flow, task


@task
def add_up(month: int) -> int:
    """Return the sales of a month."""
    if month == 2:
        raise ValueError("no sales in month 2")
    return 1000 + 7 * month


@flow(name="monthly_sales", version="1.0.0")
def monthly_sales(month: int, takes: float = 0.0) -> dict[str, int]:
    """Add up a month's sales; ``takes`` is for how many seconds longer that goes on."""
    sales = add_up(month)
    time.sleep(takes)
    return {"month": month, "sales": sales}
