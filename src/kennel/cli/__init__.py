"""`kennel …`: the command line. The one place that prints for a person and exits."""

from __future__ import annotations

from kennel.cli.app import main

__all__ = ["main"]
