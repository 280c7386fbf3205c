"""Reading the logs of containers for ``dagy-queue logs`` and ``explain``."""
