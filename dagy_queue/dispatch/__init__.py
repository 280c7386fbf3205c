"""The dispatcher: Celery tasks that park and finish runs, and the pump that launches them."""
