"""Ways to run a container without a container engine: a forked worker, a plain process, or nothing at all."""
