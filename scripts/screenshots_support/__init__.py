"""The pictures of the documentation: what Flower and ``dagy-queue watch`` show of a batch that is under way."""
