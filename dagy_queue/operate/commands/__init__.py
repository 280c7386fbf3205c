"""The commands of ``dagy-queue``, a module for each kind; ``operate/cli.py`` puts them together.

They import what they need when they run, so that ``--help`` is quick.
"""
