"""`kennel …`: the command line, what a person sees of it all."""

from __future__ import annotations

from kennel.cli.app import main

__all__ = ["main"]
