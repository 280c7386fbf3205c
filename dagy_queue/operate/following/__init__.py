"""Following runs and batches while they go on: on a terminal a live screen, in a pipe lines."""
