"""The Python part of ``./scripts/demo``: an application of the product, and a stack to run it on."""
