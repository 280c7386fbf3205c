"""Celery on Redis: the app, the names of queues and tasks, and messages rendered before they are sent."""
