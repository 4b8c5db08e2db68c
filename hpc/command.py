"""The entry point of environments in which hpc was installed before there was :mod:`hpc.cli`."""

from hpc.cli.app import app, main

__all__ = ["app", "main"]
